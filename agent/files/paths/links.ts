import { chown, lstat, readlink, symlink } from 'node:fs/promises';
import type { FileOutput } from '../../../src/protocol/data-plane.js';
import { isErrorCode } from '../../atomic-file.js';
import { requireNothingPending } from '../changing/target.js';
import type { FileRequest } from '../contract.js';
import { FileError } from '../errors.js';
import { toEntry } from '../listing/entry.js';
import type { Owner } from '../owner.js';
import { ENTRY_BYTES } from '../quota/quota.js';
import type { ServerFiles } from '../server-files.js';
import { entryOf, openDirectory, openPlace, type PathHandle, pathOf } from './descriptors.js';
import { parseEntryPath } from './paths.js';
import { walkToParent, withPlace } from './walk.js';

export async function readLink(
  { root, pending }: ServerFiles,
  { path }: FileRequest<'read-link'>,
): Promise<FileOutput<'read-link'>> {
  return await withPlace(walkToParent(root, parseEntryPath(path)), async (place) => {
    const { parent, name } = place;
    if (await pending.has(place)) throw notLink();
    try {
      const target = await readlink(entryOf(parent, name), 'buffer');
      return { target: target.toString() };
    } catch (error) {
      if (!isErrorCode(error, 'EINVAL')) throw error;
      throw notLink(error);
    }
  });
}

/** Whether there is anything where it leads does not matter. */
export async function makeLink(
  { root, owner, account, pending }: ServerFiles,
  { path, target }: FileRequest<'make-link'>,
): Promise<FileOutput<'make-link'>> {
  if (target === '' || target.includes('\0')) {
    throw new FileError('file.name_invalid', 'A link leads to a path that is not empty.');
  }
  return await withPlace(walkToParent(root, parseEntryPath(path)), async (place) => {
    const { parent, name } = place;
    await requireNothingPending(pending, place);
    requireInside(target, await depthOf(parent, root.path));
    const claim = await account.claim(ENTRY_BYTES);
    let isKept = false;
    try {
      await createLink(place, target, owner);
      isKept = true;
      claim.wrote(ENTRY_BYTES);
      return toEntry(name, await lstat(entryOf(parent, name)));
    } finally {
      claim.end(isKept);
    }
  });
}

export async function createLink(
  { parent, name }: { parent: PathHandle; name: string | Buffer },
  target: string | Buffer,
  owner: Owner | null,
): Promise<void> {
  const at = entryOf(parent, name);
  await symlink(target, at);
  if (owner === null) return;
  const made = await openPlace(at);
  try {
    // Whatever may be there by now: only a link is worth nothing to who gets it.
    if ((await made.stat()).isSymbolicLink()) await chown(pathOf(made), owner.uid, owner.gid);
  } finally {
    await made.close();
  }
}

/** In how many directories below the server's own it really is: links on the way to it may have led up again. */
async function depthOf(directory: PathHandle, root: string): Promise<number> {
  const top = await openDirectory(root);
  try {
    const topPath = await readlink(pathOf(top));
    const path = await readlink(pathOf(directory));
    if (path === topPath) return 0;
    if (!path.startsWith(`${topPath}/`)) throw new FileError('file.busy', 'The path is changing: try again.');
    return path.slice(topPath.length + 1).split('/').length;
  } finally {
    await top.close();
  }
}

/**
 * By the names in it alone. What is behind other links may be elsewhere, which is why nothing here trusts a link: this only
 * keeps users from making one that can never work.
 * @param depth Of the directory that the link is in.
 */
function requireInside(target: string, depth: number): void {
  let left = depth;
  const names = target.split('/').filter((name) => name !== '' && name !== '.');
  for (const name of names) {
    left += name === '..' ? -1 : 1;
    if (left < 0) throw outside('The link would lead out of the directory of the server.');
  }
  if (target.startsWith('/')) {
    throw outside(
      'Name the target relative to the link: what begins with a slash is another place for the game.',
    );
  }
}

function notLink(cause?: unknown): FileError {
  return new FileError('file.not_regular', 'This is not a link.', { cause });
}

function outside(message: string): FileError {
  return new FileError('file.outside', message);
}
