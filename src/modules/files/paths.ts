import { AppError } from '../../lib/errors.js';

/** The server's own directory. */
export const ROOT = '/';

/**
 * `plugins//a/../b.yml` → `/plugins/b.yml`. Throws `file.outside` for a path that climbs out of the directory. What
 * links lead to is for the node to see; it checks everything once more.
 */
export function normalisePath(path: string): string {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    if (name !== '..') names.push(name);
    else if (names.pop() === undefined) throw new AppError('file.outside');
  }
  return `/${names.join('/')}`;
}

/**
 * The same for what is to be changed: that is never the server's own directory.
 * @param name Of the input that the path is.
 */
export function normaliseChangedPath(path: string, name = 'path'): string {
  const normal = normalisePath(path);
  if (normal === ROOT) {
    throw new AppError('request.invalid', `${name}: is the directory of the server itself, which stays.`);
  }
  return normal;
}

/** @param path Normalised, and not the root. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || ROOT;
}

/** @param name Must be one name, not a path; anything else throws `file.name_invalid`. */
export function pathIn(directory: string, name: string): string {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
    throw new AppError('file.name_invalid');
  }
  return directory === ROOT ? `/${name}` : `${directory}/${name}`;
}
