import { constants, type Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { entryOf, openDirectory, openPlace, pathOf } from '../descriptors.js';
import { FileError } from '../errors.js';
import { DEPTH_MAX } from '../paths.js';
import { openRegular } from '../regular.js';
import type { ServerFiles } from '../server-files.js';
import { walkToParent, walkToThing, withPlace } from '../walk.js';
import { createArenas } from './arenas.js';
import { readRangeSparingly } from './bytes.js';
import { ENTRIES_MAX, isSafeTarget, NAMES_MAX_BYTES, type PackedEntry } from './entries.js';
import {
  type Found,
  isSame,
  type LookingAhead,
  lookAhead,
  NO_BYTES,
  naming,
  type TreeOptions,
  targetOf,
} from './look-ahead.js';

/** Of the files of one batch. Two batches of each of two directories in one another have room. */
const ARENA = { countMax: 4, bytes: 4 * 1024 * 1024 };

interface Walking extends LookingAhead {
  entries: number;
  nameBytes: number;
}

/**
 * What these paths are and everything below, links as links. FIFOs, sockets, devices, what is half written and links that
 * lead out are left out, as are names that another program is just removing. None of it is in the others' directories.
 */
export async function* readTree(paths: string[][], options: TreeOptions): AsyncGenerator<PackedEntry> {
  const { files } = options;
  const walking: Walking = { ...options, newArena: createArenas(ARENA), entries: 0, nameBytes: 0 };
  for (const names of paths) {
    const path = Buffer.from(names.join('/'));
    const thing = await naming(path, () => walkToThing(files.root, names, false));
    try {
      const status = await thing.stat();
      const target = status.isSymbolicLink() ? await targetOfPath(files, names) : NO_BYTES;
      yield* readFound({ place: thing, path, status, target, content: null }, walking);
    } finally {
      await thing.close();
    }
  }
}

async function targetOfPath({ root }: ServerFiles, names: string[]): Promise<Buffer> {
  return await withPlace(walkToParent(root, names), ({ parent, name }) => targetOf(entryOf(parent, name)));
}

async function* readDirectory(
  directory: FileHandle,
  path: Buffer,
  walking: Walking,
): AsyncGenerator<PackedEntry> {
  for await (const batch of lookAhead(directory, path, walking)) {
    for (const found of batch) {
      walking.signal.throwIfAborted();
      const name = found.path.subarray(found.path.lastIndexOf(0x2f) + 1);
      const place = found.content === null ? await openIfThere(entryOf(directory, name)) : null;
      if (place === null && found.content === null) continue;
      try {
        // It may have been replaced since.
        const status = (await place?.stat()) ?? found.status;
        yield* readFound({ ...found, status, place }, walking);
      } finally {
        await place?.close();
      }
    }
  }
}

async function* readFound(
  { path, status, target, content, place }: Found & { place: FileHandle | null },
  walking: Walking,
): AsyncGenerator<PackedEntry> {
  if (status.isDirectory() && place !== null) {
    if (depthOf(path) >= DEPTH_MAX) {
      throw new FileError('file.failed', `More than ${DEPTH_MAX} directories are in one another.`);
    }
    // The directory of the server itself has no name.
    if (path.length > 0) yield admit(directoryEntry(path, status), walking);
    const directory = await openDirectory(`${pathOf(place)}/.`);
    try {
      yield* readDirectory(directory, path, walking);
    } finally {
      await directory.close();
    }
  } else if (status.isSymbolicLink()) {
    if (!isSafeTarget(target, depthOf(path))) return;
    yield admit({ ...entryFor(path, status), kind: 'link', target }, walking);
  } else if (status.isFile() && !isSame(status, walking.except)) {
    const entry = { ...entryFor(path, status), kind: 'file' as const, sizeBytes: status.size };
    if (content !== null) return yield admit({ ...entry, content }, walking);
    if (place === null) return;
    const file = await naming(path, () => openRegular(place, constants.O_RDONLY, walking.files.owner));
    try {
      yield admit({ ...entry, content: readRangeSparingly(file, { start: 0, end: status.size }) }, walking);
    } finally {
      await file.close();
    }
  }
}

/** Of the directory that it is in. */
function depthOf(path: Buffer): number {
  return path.reduce((slashes, byte) => slashes + Number(byte === 0x2f), 0);
}

function directoryEntry(path: Buffer, status: Stats): PackedEntry {
  return { ...entryFor(path, status), kind: 'directory' };
}

function entryFor(path: Buffer, { mode, mtimeMs }: Stats): Omit<PackedEntry, 'kind'> {
  return {
    name: path,
    mode: mode & 0o777,
    modifiedAtMs: mtimeMs,
    sizeBytes: 0,
    content: NO_BYTES,
    target: NO_BYTES,
  };
}

function admit(entry: PackedEntry, walking: Walking): PackedEntry {
  walking.entries += 1;
  walking.nameBytes += entry.name.length + entry.target.length;
  if (walking.entries <= ENTRIES_MAX && walking.nameBytes <= NAMES_MAX_BYTES) return entry;
  throw new FileError('file.too_large', `More than ${ENTRIES_MAX} files: put them into several archives.`);
}

async function openIfThere(at: Buffer): Promise<FileHandle | null> {
  try {
    return await openPlace(at);
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return null;
    throw error;
  }
}
