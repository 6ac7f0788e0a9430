import { posix } from 'node:path';
import { AppError } from '../lib/errors.js';

/** As many as most systems follow before they speak of a loop, and more than anybody has. */
const LINKS_MAX = 8;

/**
 * Where links at the end of a path lead in the end, by what they say. The agent changes nothing through a link: it is
 * asked about the place itself, and looks there as closely as anywhere.
 * @param readLink Throws `file.not_regular` for what is no link.
 */
export async function followLinks(
  path: string,
  readLink: (path: string) => Promise<string>,
): Promise<string> {
  let place = path;
  for (let links = 0; links < LINKS_MAX; links += 1) {
    const target = await readLink(place).catch(nothingForNoLink);
    if (target === null) return place;
    const names = posix.join(`.${posix.dirname(place)}`, target);
    if (target.startsWith('/') || /^\.\.(\/|$)/.test(names)) throw outside();
    place = posix.resolve('/', names);
  }
  throw new AppError('file.not_found', 'The links lead round and round.');
}

function nothingForNoLink(error: unknown): null {
  if (error instanceof AppError && error.code === 'file.not_regular') return null;
  throw error;
}

function outside(): AppError {
  return new AppError('file.outside', 'The link leads out of the directory of the server.');
}
