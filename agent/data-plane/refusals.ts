import type { Logger } from 'pino';
import type { FileErrorBody } from '../../src/protocol/data-plane.js';
import { FileError, toFileError } from '../files/errors.js';

const MESSAGE_MAX_LENGTH = 300;

/** What the panel is told of an error. What nobody expected is told to the log. */
export function refusalOf(error: unknown, log: Logger): FileErrorBody {
  const known = toFileError(error);
  if (known instanceof FileError) {
    return { code: known.code, message: known.message.slice(0, MESSAGE_MAX_LENGTH) };
  }
  log.error({ error }, 'a file operation failed');
  return { code: 'file.failed', message: 'The node could not do this; the log of its agent says why.' };
}
