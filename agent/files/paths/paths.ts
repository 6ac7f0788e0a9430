import { FileError } from '../errors.js';

/** Directories in one another, as far as our own ways of reaching and copying them go. */
export const DEPTH_MAX = 256;
export const NAME_MAX_BYTES = 255;

/**
 * The names in a path as users write it: a leading slash means the server's directory, none at all that directory itself.
 * `..` is refused rather than worked out: nobody needs it, and it means something else behind a link.
 */
export function parsePath(path: string): string[] {
  if (path.includes('\0')) throw new FileError('file.name_invalid', 'A path has no NUL characters in it.');
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..'))
    throw new FileError('file.outside', 'The path leads out of the directory: leave ".." out.');
  if (names.length > DEPTH_MAX) throw new FileError('file.name_invalid', 'The path is too deep.');
  for (const name of names) {
    if (Buffer.byteLength(name) <= NAME_MAX_BYTES) continue;
    throw new FileError('file.name_invalid', `A name has at most ${NAME_MAX_BYTES} bytes.`);
  }
  return names;
}

/** As `parsePath`, of something that can be put there or taken away: never the server's directory itself. */
export function parseEntryPath(path: string): string[] {
  const names = parsePath(path);
  if (names.length > 0) return names;
  throw new FileError(
    'file.name_invalid',
    'This is the directory of the server itself: name something in it.',
  );
}

/** As `parseEntryPath`, of a file: a slash at the end names a directory. */
export function parseFilePath(path: string): string[] {
  if (/\/\.?$/.test(path))
    throw new FileError('file.is_directory', 'A path that ends with a slash is a directory.');
  return parseEntryPath(path);
}
