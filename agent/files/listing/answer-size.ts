import { FILE_JSON_MAX_BYTES } from '../../../src/protocol/data-plane.js';

/** Half of what the panel takes: the last entry is counted after it is in. */
export const ANSWER_MAX_BYTES = FILE_JSON_MAX_BYTES / 2;
/** Of an entry, all but what its name and path take. */
const ENTRY_BYTES = 256;

/** What entries of these names and paths take in an answer. A character that nobody sees takes six bytes there. */
export function answerBytes(...texts: string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(JSON.stringify(text)), ENTRY_BYTES);
}
