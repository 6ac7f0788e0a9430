import { randomBytes } from 'node:crypto';
import { WAITING_PREFIX } from '../../../src/protocol/data-plane.js';

/**
 * Names of what is not finished, in the directories of servers. Users are not shown them; what only looks alike is theirs.
 */
const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
export const OWN_NAME = new RegExp(
  `^\\.catalyst-(?:[0-9a-f]{12}-\\d+\\.(?:part|unpacking)|(?:upload|waiting)-${UUID}(?:\\.[a-z]+)?)$`,
);
const MADE = /^\.catalyst-([0-9a-f]{12})-\d+\.(part|unpacking)$/;
const UPLOAD = new RegExp(`^\\.catalyst-upload-(${UUID})$`);

/** Other than that of any agent before: what has their names is left over. */
const PROCESS = randomBytes(6).toString('hex');
let count = 0;

/** A file that is being written, or a directory in which an archive is unpacked. */
export type Unfinished = 'part' | 'unpacking';

/** A name that nothing else has. */
export function newName(of: Unfinished): string {
  count += 1;
  return `.catalyst-${PROCESS}-${count}.${of}`;
}

/** Whether it is of an agent before this one. */
export function isLeftover(name: string, of: Unfinished): boolean {
  const [, maker, kind] = MADE.exec(name) ?? [];
  return kind === of && maker !== PROCESS;
}

/** Of the bytes of an upload that comes in parts. */
export function nameOfUpload(uploadId: string): string {
  return `.catalyst-upload-${uploadId}`;
}

/** The upload that a file of this name has the bytes of; null: it is no such name. */
export function uploadIdOf(name: string): string | null {
  return UPLOAD.exec(name)?.[1] ?? null;
}

/** Whether it is one of ours. */
export function isOwnName(name: string): boolean {
  return OWN_NAME.test(name);
}

/** Of a file that waits until the panel knows where it belongs. */
export function isWaitingName(name: string): boolean {
  return name.startsWith(WAITING_PREFIX) && isOwnName(name);
}
