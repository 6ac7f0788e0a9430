import { type FileHandle, lstat } from 'node:fs/promises';
import { entryOf, openDirectory, pathOf } from '../descriptors.js';
import { namesIn } from '../listing.js';
import { isOwnName } from '../own-names.js';
import { DEPTH_MAX } from '../paths.js';
import type { ServerFiles } from '../server-files.js';
import { ignoreMissing } from '../temporary.js';
import { together } from '../together.js';
import { walkToThing } from '../walk.js';
import { ENTRIES_MAX } from './entries.js';

const AT_ONCE = 32;

/** How many bytes these files and everything below have, for those who wait. @returns Null: it could not be told. */
export async function countBytes(
  paths: string[][],
  { files, signal }: { files: ServerFiles; signal: AbortSignal },
): Promise<number | null> {
  const count = { bytes: 0, entries: 0 };
  try {
    for (const names of paths) {
      const thing = await walkToThing(files.root, names, false);
      try {
        const status = await thing.stat();
        if (status.isFile()) count.bytes += status.size;
        if (status.isDirectory()) await countIn(thing, { count, signal, depth: 0 });
      } finally {
        await thing.close();
      }
    }
    return count.bytes;
  } catch {
    // Whoever packs meets the same, and says what it is.
    return null;
  }
}

interface Counting {
  count: { bytes: number; entries: number };
  signal: AbortSignal;
  depth: number;
}

async function countIn(place: FileHandle, counting: Counting): Promise<void> {
  const { count, signal, depth } = counting;
  const directory = await openDirectory(`${pathOf(place)}/.`);
  let names: Buffer[] = [];
  const countBatch = async () => {
    signal.throwIfAborted();
    count.entries += names.length;
    if (count.entries > ENTRIES_MAX || depth > DEPTH_MAX) throw new Error('there is too much to count');
    const found = await together(names.map((name) => countEntry(directory, name, count)));
    for (const name of found) if (name !== null) await countDirectory(directory, name, counting);
    names = [];
  };
  try {
    for await (const name of namesIn(directory)) {
      if (isOwnName(name.toString('latin1'))) continue;
      names.push(name);
      if (names.length >= AT_ONCE) await countBatch();
    }
    await countBatch();
  } finally {
    await directory.close();
  }
}

/** @returns Its name if it is a directory. */
async function countEntry(
  directory: FileHandle,
  name: Buffer,
  count: Counting['count'],
): Promise<Buffer | null> {
  const status = await lstat(entryOf(directory, name)).catch(ignoreMissing);
  if (status?.isFile()) count.bytes += status.size;
  return status?.isDirectory() ? name : null;
}

async function countDirectory(above: FileHandle, name: Buffer, counting: Counting): Promise<void> {
  const directory = await openDirectory(entryOf(above, name)).catch(ignoreMissing);
  if (!directory) return;
  try {
    await countIn(directory, { ...counting, depth: counting.depth + 1 });
  } finally {
    await directory.close();
  }
}
