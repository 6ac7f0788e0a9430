import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isErrorCode } from '../atomic-file.js';
import { resize } from './attributes.js';
import { entryOf, openPlace } from './descriptors.js';
import { FileError } from './errors.js';
import { type Account, ENTRY_BYTES } from './quota.js';
import { openRegular, SPECIAL_BITS } from './regular.js';
import type { Owner } from './sandbox.js';
import { type Place, walkToParent, walkToThing, withPlace } from './walk.js';

const FILE_MODE = 0o644;
/** Somebody may remove and make the file between our looks. */
const TRIES_MAX = 5;

export interface Opening {
  read: boolean;
  write: boolean;
  append: boolean;
  create: boolean;
  exclusive: boolean;
  truncate: boolean;
}

export interface OpeningContext {
  root: string;
  owner: Owner | null;
  account: Account;
}

/** For reading, a link to a file in the same directory of the server is followed; who writes must name the file itself. */
export async function openFile(
  names: string[],
  opening: Opening,
  { root, owner, account }: OpeningContext,
): Promise<FileHandle> {
  if (!opening.write && !opening.append) {
    const place = await walkToThing(root, names, true);
    try {
      return await openRegular(place, constants.O_RDONLY, owner);
    } finally {
      await place.close();
    }
  }
  return await withPlace(walkToParent(root, names), async (place) => {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const file =
        (opening.create && opening.exclusive ? null : await openExisting(place, opening, owner)) ??
        (await createFile(place, opening, { owner, account }));
      if (file === null) continue;
      try {
        if (opening.truncate) await resize(file, 0, account);
        return file;
      } catch (error) {
        await file.close();
        throw error;
      }
    }
    throw new FileError('file.busy', 'The path is changing: try again.');
  });
}

function flagsOf({ read, append }: Opening): number {
  return (read ? constants.O_RDWR : constants.O_WRONLY) | (append ? constants.O_APPEND : 0);
}

/** Null: there is none, and one may be made. */
async function openExisting(
  { parent, name }: Place,
  opening: Opening,
  owner: Owner | null,
): Promise<FileHandle | null> {
  const place = await openPlace(entryOf(parent, name)).catch((error: unknown) => {
    if (isErrorCode(error, 'ENOENT') && opening.create) return null;
    throw error;
  });
  if (place === null) return null;
  try {
    const file = await openRegular(place, flagsOf(opening), owner);
    const { mode } = await file.stat();
    // The kernel takes them away when anybody but root writes.
    if ((mode & SPECIAL_BITS) !== 0) await file.chmod(mode & 0o777);
    return file;
  } finally {
    await place.close();
  }
}

/** Null: somebody else has just made it, and that one will do. */
async function createFile(
  { parent, name }: Place,
  opening: Opening,
  { owner, account }: { owner: Owner | null; account: Account },
): Promise<FileHandle | null> {
  const claim = await account.claim(ENTRY_BYTES);
  let isKept = false;
  try {
    const flags = flagsOf(opening) | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(entryOf(parent, name), flags, FILE_MODE);
    isKept = true;
    claim.wrote(ENTRY_BYTES);
    try {
      if (owner !== null) await file.chown(owner.uid, owner.gid);
      await file.chmod(FILE_MODE);
    } catch (error) {
      await file.close();
      throw error;
    }
    return file;
  } catch (error) {
    if (!opening.exclusive && isErrorCode(error, 'EEXIST')) return null;
    throw error;
  } finally {
    claim.end(isKept);
  }
}
