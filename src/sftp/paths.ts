import { posix } from 'node:path';
import { AppError } from '../lib/errors.js';

const PATH_MAX_BYTES = 4096;
/** What ssh2 puts where bytes are not UTF-8: two names that are not could become one, and that one be another file's. */
const NOT_UTF8 = '\uFFFD';

/**
 * The path from the server's directory on, which clients see as `/`. It is only tidied here, as `REALPATH` has to
 * answer it: that nothing outside is reached is the agent's doing. Throws `request.invalid`.
 */
export function resolvePath(path: string): string {
  requireText(path);
  return posix.resolve('/', path === '' ? '.' : path).replace(/^\/\//, '/');
}

/**
 * What a new link says: clients show the server's directory as `/`, where a link must not begin, since the game sees
 * another one. Throws `request.invalid`.
 * @param path Of the link, resolved.
 */
export function targetOf(path: string, target: string): string {
  requireText(target);
  if (!target.startsWith('/')) return target;
  return posix.relative(posix.dirname(path), posix.resolve('/', target)) || '.';
}

function requireText(path: string): void {
  if (path.includes('\0')) throw new AppError('request.invalid', 'A path has no NUL character in it.');
  if (path.includes(NOT_UTF8)) {
    throw new AppError('request.invalid', 'Names have to be UTF-8: set that in your client, and try again.');
  }
  if (Buffer.byteLength(path) > PATH_MAX_BYTES)
    throw new AppError('request.invalid', 'The path is too long.');
}
