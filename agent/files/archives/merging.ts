import type { Stats } from 'node:fs';
import { type FileHandle, lstat, rename } from 'node:fs/promises';
import { entryOf, openDirectory } from '../descriptors.js';
import { FileError } from '../errors.js';
import { namesIn } from '../listing.js';
import type { Account } from '../quota.js';
import { heldBytes } from '../regular.js';
import { ignoreMissing } from '../temporary.js';
import { together } from '../together.js';
import { showName } from './refusals.js';

const AT_ONCE = 32;

/**
 * Everything in one directory into another: directories that are there already are merged, files replaced, each in one
 * step. What cannot be merged is found before anything is moved; then it is not to be stopped any more.
 */
export async function mergeInto(target: FileHandle, staged: FileHandle, account: Account): Promise<void> {
  const compare = (pairs: Pair[]) => {
    for (const pair of pairs) expectMergeable(pair);
    return Promise.resolve();
  };
  await forEachPair({ target, staged, path: Buffer.alloc(0) }, compare);
  await forEachPair({ target, staged, path: Buffer.alloc(0) }, async (pairs) => {
    await together(pairs.map((pair) => move(pair, account)));
  });
}

interface Directories {
  target: FileHandle;
  staged: FileHandle;
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
  for await (const names of batchesOf(directories.staged)) {
    const found = await together(names.map((name) => lookAt(directories, name)));
    const pairs = found.filter((pair) => pair !== null);
    await use(pairs.filter((pair) => !areDirectories(pair)));
    for (const pair of pairs.filter(areDirectories)) await inBoth(pair, (inner) => forEachPair(inner, use));
  }
}

async function lookAt(directories: Directories, name: Buffer): Promise<Pair | null> {
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

function expectMergeable({ path, newStatus, oldStatus }: Pair): void {
  if (oldStatus === null || newStatus.isDirectory() === oldStatus.isDirectory()) return;
  const [is, was] = newStatus.isDirectory()
    ? ['a directory', oldStatus.isSymbolicLink() ? 'a link' : 'a file']
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

async function move({ staged, target, name, oldStatus }: Pair, account: Account): Promise<void> {
  await rename(entryOf(staged, name), entryOf(target, name));
  if (oldStatus !== null) account.credit(heldBytes(oldStatus));
}

async function* batchesOf(directory: FileHandle): AsyncGenerator<Buffer[]> {
  let names: Buffer[] = [];
  for await (const name of namesIn(directory)) {
    names.push(name);
    if (names.length < AT_ONCE) continue;
    yield names;
    names = [];
  }
  yield names;
}
