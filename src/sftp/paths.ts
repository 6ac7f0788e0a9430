import { posix } from 'node:path';
import { AppError } from '../lib/errors.js';

const PATH_MAX_BYTES = 4096;

/**
 * The path from the server's directory on, which clients see as `/`. It is only tidied here, as `REALPATH` has to
 * answer it: that nothing outside is reached is the agent's doing. Throws `request.invalid`.
 */
export function resolvePath(path: string): string {
  if (path.includes('\0')) throw new AppError('request.invalid', 'A path has no NUL character in it.');
  if (Buffer.byteLength(path) > PATH_MAX_BYTES)
    throw new AppError('request.invalid', 'The path is too long.');
  return posix.resolve('/', path === '' ? '.' : path).replace(/^\/\//, '/');
}
