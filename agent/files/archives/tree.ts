import { closeSync, constants, openSync, type Stats } from 'node:fs';
import { type FileHandle, readlink } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { entryOf, O_PATH, openDirectory, openPlace, pathOf } from '../descriptors.js';
import { FileError, toFileError } from '../errors.js';
import { namesIn } from '../listing.js';
import { isOwnName } from '../own-names.js';
import { DEPTH_MAX } from '../paths.js';
import { checkNames, openRegular } from '../regular.js';
import type { ServerFiles } from '../server-files.js';
import { ignoreMissing } from '../temporary.js';
import { together } from '../together.js';
import { walkToParent, walkToThing, withPlace } from '../walk.js';
import { readRange } from './bytes.js';
import { ENTRIES_MAX, isSafeTarget, NAMES_MAX_BYTES, nothing, type PackedEntry } from './entries.js';
import { openNumber, readInto, statusOf } from './quick-files.js';
import { showName } from './refusals.js';

const AT_ONCE = 32;
/** Files up to this are read while others are on their way, as long as there is room for them. */
const READ_AHEAD_FILE_MAX_BYTES = 512 * 1024;
const READ_AHEAD_MAX_BYTES = 16 * 1024 * 1024;
const NO_BYTES = Buffer.alloc(0);

export interface TreeOptions {
  files: ServerFiles;
  signal: AbortSignal;
  /** The archive that is about to be replaced is not packed into its successor. */
  except: Stats | null;
}

interface Walking extends TreeOptions {
  readAheadBytes: number;
  entries: number;
  nameBytes: number;
}

/**
 * What these paths are and everything below, links as links. FIFOs, sockets, devices, what is half written and links that
 * lead out are left out, as are names that another program is just removing. None of it is in the others' directories.
 */
export async function* readTree(paths: string[][], options: TreeOptions): AsyncGenerator<PackedEntry> {
  const { files } = options;
  const walking: Walking = { ...options, readAheadBytes: 0, entries: 0, nameBytes: 0 };
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

interface Found {
  path: Buffer;
  status: Stats;
  target: Buffer;
  /** Null: not read yet. */
  content: Buffer | null;
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
      walking.readAheadBytes -= found.content?.length ?? 0;
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

/** One batch is looked at while the one before is dealt with. Nothing is under way any more when it has ended. */
async function* lookAhead(directory: FileHandle, path: Buffer, walking: Walking): AsyncGenerator<Found[]> {
  let underway: Promise<Found[]> = Promise.resolve([]);
  try {
    for await (const names of batchesOf(directory)) {
      const next = together(names.map((name) => look(directory, name, path, walking)));
      const ready = underway;
      underway = next.then((found) => found.filter((one) => one !== null));
      // Whoever waits for it hears of it.
      underway.catch(() => {});
      yield await ready;
    }
    yield await underway;
  } finally {
    await underway.catch(() => {});
  }
}

async function* batchesOf(directory: FileHandle): AsyncGenerator<Buffer[]> {
  let names: Buffer[] = [];
  for await (const name of namesIn(directory)) {
    if (isOwnName(name.toString('latin1'))) continue;
    names.push(name);
    if (names.length < AT_ONCE) continue;
    yield names;
    names = [];
  }
  yield names;
}

async function look(
  directory: FileHandle,
  name: Buffer,
  above: Buffer,
  walking: Walking,
): Promise<Found | null> {
  const path = above.length === 0 ? name : Buffer.concat([above, Buffer.from('/'), name]);
  return await naming(path, async () => {
    const at = entryOf(directory, name);
    const place = await openNumber(at, O_PATH | constants.O_NOFOLLOW).catch(ignoreMissing);
    if (place === undefined) return null;
    try {
      const status = statusOf(place);
      const target = status.isSymbolicLink() ? await targetOf(at) : NO_BYTES;
      return { path, status, target, content: await readSmall(place, status, walking) };
    } finally {
      closeSync(place);
    }
  });
}

/** @param place Opened as such, so that nothing but its content is waited for. Null: it is no file, or too large. */
async function readSmall(place: number, status: Stats, walking: Walking): Promise<Buffer | null> {
  const { size } = status;
  if (isSame(status, walking.except)) return null;
  if (!status.isFile() || size > READ_AHEAD_FILE_MAX_BYTES) return null;
  if (walking.readAheadBytes + size > READ_AHEAD_MAX_BYTES) return null;
  checkNames(status, walking.files.owner);
  walking.readAheadBytes += size;
  const content = Buffer.allocUnsafeSlow(size);
  if (size === 0) return content;
  const file = openSync(
    `/proc/self/fd/${place}`,
    constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
  );
  try {
    let position = 0;
    while (position < size) {
      const bytesRead = await readInto(file, content, position, position);
      if (bytesRead === 0) break;
      position += bytesRead;
    }
    // What it has become shorter by.
    return content.fill(0, position);
  } finally {
    closeSync(file);
  }
}

async function* readFound(
  { path, status, target, content, place }: Found & { place: FileHandle | null },
  walking: Walking,
): AsyncGenerator<PackedEntry> {
  const depth = path.reduce((slashes, byte) => slashes + Number(byte === 0x2f), 0);
  if (status.isDirectory() && place !== null) {
    if (depth >= DEPTH_MAX) {
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
    if (!isSafeTarget(target, depth)) return;
    yield admit({ ...entryFor(path, status), kind: 'link', target }, walking);
  } else if (status.isFile() && !isSame(status, walking.except)) {
    const entry = { ...entryFor(path, status), kind: 'file' as const, sizeBytes: status.size };
    if (content !== null) return yield admit({ ...entry, content }, walking);
    if (place === null) return;
    const file = await naming(path, () => openRegular(place, constants.O_RDONLY, walking.files.owner));
    try {
      yield admit({ ...entry, content: readRange(file, { start: 0, end: status.size }) }, walking);
    } finally {
      await file.close();
    }
  }
}

function isSame(status: Stats, other: Stats | null): boolean {
  return other !== null && status.ino === other.ino && status.dev === other.dev;
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
    content: nothing(),
    target: NO_BYTES,
  };
}

function admit(entry: PackedEntry, walking: Walking): PackedEntry {
  walking.entries += 1;
  walking.nameBytes += entry.name.length + entry.target.length;
  if (walking.entries <= ENTRIES_MAX && walking.nameBytes <= NAMES_MAX_BYTES) return entry;
  throw new FileError('file.too_large', `More than ${ENTRIES_MAX} files: put them into several archives.`);
}

/** Empty, which is no target, when it is a link no longer. */
async function targetOf(at: Buffer): Promise<Buffer> {
  try {
    return await readlink(at, 'buffer');
  } catch (error) {
    if (isErrorCode(error, 'ENOENT') || isErrorCode(error, 'EINVAL')) return NO_BYTES;
    throw error;
  }
}

async function openIfThere(at: Buffer): Promise<FileHandle | null> {
  try {
    return await openPlace(at);
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return null;
    throw error;
  }
}

/** An error about one of many files says which. */
async function naming<Result>(path: Buffer, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const known = toFileError(error);
    if (!(known instanceof FileError)) throw error;
    throw new FileError(known.code, `"/${showName(path)}": ${known.message}`, { cause: error });
  }
}
