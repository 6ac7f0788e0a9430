import type { ServerFiles } from '../server-files.js';
import type { PathHandle } from './descriptors.js';
import { walkToParent, walkToThing, withPlace } from './walk.js';

/**
 * As `walkToThing`, and of a file that is pending what has been written so far. A link to its name leads to what is there
 * until then.
 */
export async function openThing(
  { root, pending }: Pick<ServerFiles, 'root' | 'pending'>,
  names: string[],
  followLinks: boolean,
): Promise<PathHandle> {
  if (!pending.isEmpty() && names.length > 0) {
    const found = await withPlace(walkToParent(root, names), (place) => pending.open(place));
    if (found !== null) return found;
  }
  return await walkToThing(root, names, followLinks);
}
