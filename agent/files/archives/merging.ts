import type { Stats } from 'node:fs';
import { lstat, rename } from 'node:fs/promises';
import { ignoreMissing } from '../changing/temporary.js';
import { FileError } from '../errors.js';
import type { PendingFiles } from '../handles/pending.js';
import { batchesIn } from '../listing/listing.js';
import { entryOf, openDirectory, type PathHandle } from '../paths/descriptors.js';
import { heldBytes } from '../paths/regular.js';
import type { Place } from '../paths/walk.js';
import type { ServerFiles } from '../server-files.js';
import { together } from '../together.js';
import { showName } from './refusals.js';

const AT_ONCE = 32;

/**
 * Everything in one directory into another: directories that are there already are merged, files replaced, each in one
 * step. What cannot be merged is found before anything is moved; then it is not to be stopped any more.
 */
export async function mergeInto(
  target: PathHandle,
  staged: PathHandle,
  { account, pending }: Pick<ServerFiles, 'account' | 'pending'>,
): Promise<void> {
  const compare = async (pairs: Pair[]) => {
    for (const pair of pairs) await requireMergeable(pair, pending);
  };
  await forEachPair({ target, staged, path: Buffer.alloc(0) }, compare);
  await forEachPair({ target, staged, path: Buffer.alloc(0) }, async (pairs) => {
    await together(pairs.map((pair) => move(pair, { account, pending })));
  });
}

interface Directories {
  target: PathHandle;
  staged: PathHandle;
  /** For messages. */
  path: Buffer;
}

interface Pair extends Directories {
  name: Buffer;
  newStatus: Stats;
  /** Null: there is nothing of this name. */
  oldStatus: Stats | null;
}

/** Only where there is a directory on both sides is what is in it looked at. */
async function forEachPair(directories: Directories, use: (pairs: Pair[]) => Promise<void>): Promise<void> {
  for await (const names of batchesIn(directories.staged, AT_ONCE)) {
    const found = await together(names.map((name) => pairOf(directories, name)));
    const pairs = found.filter((pair) => pair !== null);
    await use(pairs.filter((pair) => !areDirectories(pair)));
    for (const pair of pairs.filter(areDirectories)) await inBoth(pair, (inner) => forEachPair(inner, use));
  }
}

async function pairOf(directories: Directories, name: Buffer): Promise<Pair | null> {
  const { target, staged } = directories;
  const newStatus = await lstat(entryOf(staged, name)).catch(ignoreMissing);
  if (!newStatus) return null;
  const oldStatus = (await lstat(entryOf(target, name)).catch(ignoreMissing)) ?? null;
  const path = Buffer.concat([directories.path, Buffer.from('/'), name]);
  return { ...directories, path, name, newStatus, oldStatus };
}

function areDirectories({ newStatus, oldStatus }: Pair): boolean {
  return newStatus.isDirectory() && oldStatus?.isDirectory() === true;
}

async function requireMergeable(pair: Pair, pending: PendingFiles): Promise<void> {
  const { path, newStatus, oldStatus } = pair;
  const isDirectory = newStatus.isDirectory();
  if (oldStatus === null && !(isDirectory && (await pending.has(placeOf(pair))))) return;
  if (oldStatus?.isDirectory() === isDirectory) return;
  const [is, was] = isDirectory
    ? ['a directory', oldStatus?.isSymbolicLink() ? 'a link' : 'a file']
    : ['a file', 'a directory'];
  throw new FileError(
    'file.exists',
    `"${showName(path)}" is ${is} in the archive, but there is ${was} of that name: move it away first.`,
  );
}

async function inBoth(pair: Pair, use: (inner: Directories) => Promise<void>): Promise<void> {
  const staged = await openDirectory(entryOf(pair.staged, pair.name));
  try {
    const target = await openDirectory(entryOf(pair.target, pair.name));
    try {
      await use({ staged, target, path: pair.path });
    } finally {
      await target.close();
    }
  } finally {
    await staged.close();
  }
}

async function move(
  pair: Pair,
  { account, pending }: Pick<ServerFiles, 'account' | 'pending'>,
): Promise<void> {
  const { staged, target, name, oldStatus } = pair;
  await rename(entryOf(staged, name), entryOf(target, name));
  await pending.hide(placeOf(pair));
  if (oldStatus !== null) account.credit(heldBytes(oldStatus));
}

function placeOf({ target, name }: Pair): Place {
  return { parent: target, name: name.toString() };
}
