import type { Stats } from 'node:fs';
import { chmod, chown, lchown, lstat, unlink } from 'node:fs/promises';
import { isErrorCode } from '../atomic-file.js';
import { batchesIn } from './listing/listing.js';
import type { Owner } from './owner.js';
import { entryOf, openDirectory, openPlace, type PathHandle, pathOf } from './paths/descriptors.js';
import { DEPTH_MAX } from './paths/paths.js';
import { SPECIAL_BITS } from './paths/regular.js';
import { together } from './together.js';

const AT_ONCE = 64;

/**
 * Give everything in a directory to the owner: links themselves, never what they point to. Set-user-id bits and the
 * like are cleared, devices are removed. What is right already is left alone. Only root can.
 */
export async function claimTree(path: string, owner: Owner): Promise<void> {
  const root = await openDirectory(path);
  try {
    await claimDirectory(root, owner, 0);
  } finally {
    await root.close();
  }
}

async function claimDirectory(directory: PathHandle, owner: Owner, depth: number): Promise<void> {
  if (depth > DEPTH_MAX) throw new Error(`There are more than ${DEPTH_MAX} directories in one another.`);
  await claimOpen(directory, owner);
  const directories: Buffer[] = [];
  for await (const names of batchesIn(directory, AT_ONCE)) {
    const found = names.map(async (name) => {
      const isDirectory = await claimEntry(entryOf(directory, name), owner);
      if (isDirectory) directories.push(name);
    });
    await together(found);
  }
  for (const name of directories) {
    const child = await openDirectory(entryOf(directory, name));
    try {
      await claimDirectory(child, owner, depth + 1);
    } finally {
      await child.close();
    }
  }
}

/** @returns Whether it is a directory, which is still to be dealt with. */
async function claimEntry(at: Buffer, owner: Owner): Promise<boolean> {
  try {
    const status = await lstat(at);
    if (status.isDirectory()) return true;
    if (status.isBlockDevice() || status.isCharacterDevice()) await unlink(at);
    else if (status.isFile() && (status.mode & SPECIAL_BITS) !== 0) await clearSpecialBits(at, owner);
    else if (!isOwned(status, owner)) await lchown(at, owner.uid, owner.gid);
  } catch (error) {
    if (!isErrorCode(error, 'ENOENT')) throw error;
  }
  return false;
}

async function clearSpecialBits(at: Buffer, owner: Owner): Promise<void> {
  const place = await openPlace(at);
  try {
    if ((await place.stat()).isFile()) await claimOpen(place, owner);
  } finally {
    await place.close();
  }
}

/** The bits go first: nothing is ever set-user-id of the new owner. */
async function claimOpen(handle: PathHandle, owner: Owner): Promise<void> {
  const status = await handle.stat();
  if ((status.mode & SPECIAL_BITS) !== 0) await chmod(pathOf(handle), status.mode & 0o777);
  if (!isOwned(status, owner)) await chown(pathOf(handle), owner.uid, owner.gid);
}

function isOwned({ uid, gid }: Stats, owner: Owner): boolean {
  return uid === owner.uid && gid === owner.gid;
}
