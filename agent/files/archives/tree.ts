import { fstatSync, type Stats } from 'node:fs';
import { FileError, toFileError } from '../errors.js';
import { entryOf, pathOf } from '../paths/descriptors.js';
import { isOwnName } from '../paths/own-names.js';
import { DEPTH_MAX } from '../paths/paths.js';
import { checkNames } from '../paths/regular.js';
import { walkToParent, walkToThing, withPlace } from '../paths/walk.js';
import type { ServerFiles } from '../server-files.js';
import { ENTRIES_MAX, isSafeTarget, NAMES_MAX_BYTES, type TreeEntry } from './entries.js';
import type { Listing, Looked, Status } from './reader/messages.js';
import type { Reader } from './reader/reader.js';
import { showName } from './refusals.js';

const NO_BYTES = Buffer.alloc(0);

export interface TreeOptions {
  files: ServerFiles;
  reader: Reader;
  signal: AbortSignal;
  /** The archive that is about to be replaced is not packed into its successor. */
  except: Stats | null;
}

export interface FoundEntry extends TreeEntry {
  /** Of a file: what is to be copied or dropped by who gets it. */
  place: number | null;
}

interface Walking extends TreeOptions {
  entries: number;
  nameBytes: number;
}

/**
 * What these paths are and everything below, links as links, a few at a time. FIFOs, sockets, devices, what is half written
 * and links that lead out are left out, as are names that another program is just removing.
 */
export async function* readTree(paths: string[][], options: TreeOptions): AsyncGenerator<FoundEntry[]> {
  const { files, reader } = options;
  const walking: Walking = { ...options, entries: 0, nameBytes: 0 };
  await beginCounting(paths, options);
  for (const names of paths) {
    walking.signal.throwIfAborted();
    const path = Buffer.from(names.join('/'));
    const thing = await naming(path, () => walkToThing(files.root, names, false));
    try {
      if ((await thing.stat()).isDirectory()) {
        yield* readDirectory(Buffer.from(`${pathOf(thing)}/.`), path, walking);
        continue;
      }
      const looked = await withPlace(walkToParent(files.root, names), ({ parent, name }) =>
        reader.look(entryOf(parent, name), path),
      );
      const entry = looked === null ? null : entryFor(looked, path, walking);
      if (entry !== null) yield [entry];
    } finally {
      await thing.close();
    }
  }
}

/** What cannot be found is met again, and told then. */
async function beginCounting(paths: string[][], { files, reader }: TreeOptions): Promise<void> {
  for (const names of paths) {
    const thing = await walkToThing(files.root, names, false).catch(() => null);
    if (thing === null) continue;
    try {
      const status = await thing.stat();
      await reader.count(Buffer.from(`${pathOf(thing)}/.`), status.isFile() ? status.size : 0);
    } finally {
      await thing.close();
    }
  }
}

/** First what is in it, then its directories, so that few are open at a time. */
async function* readDirectory(at: Buffer, path: Buffer, walking: Walking): AsyncGenerator<FoundEntry[]> {
  const { reader, signal } = walking;
  if (depthOf(path) >= DEPTH_MAX) {
    throw new FileError('file.failed', `More than ${DEPTH_MAX} directories are in one another.`);
  }
  const first = await reader.enter(at, path);
  if (first === null) return;
  const { directory, status } = first;
  try {
    const inner: string[] = [];
    // The directory of the server itself has no name.
    const own: FoundEntry = { ...describe(status, path), kind: 'directory', place: null };
    let entries = path.length > 0 ? [admit(own, walking)] : [];
    for (let page: Listing = first; ; ) {
      signal.throwIfAborted();
      entries.push(...entriesIn(page.looked, path, walking));
      inner.push(...directoriesIn(page.looked));
      if (walking.entries + inner.length > ENTRIES_MAX) throw tooMany();
      // Looked at while these are dealt with.
      const next = page.isOver ? null : reader.more(directory);
      next?.catch(() => {});
      if (entries.length > 0) yield entries;
      if (next === null) break;
      [page, entries] = [await next, []];
    }
    for (const name of inner) {
      const below = Buffer.from(`/proc/self/fd/${directory}/${name}`, 'latin1');
      yield* readDirectory(below, join(path, name), walking);
    }
  } finally {
    reader.leave(directory);
  }
}

function directoriesIn(looked: Looked[]): string[] {
  return looked.flatMap(({ name, status }) =>
    status.kind === 'directory' && !isOwnName(name) ? [name] : [],
  );
}

function entriesIn(looked: Looked[], above: Buffer, walking: Walking): FoundEntry[] {
  const entries = looked.map((one) => {
    const entry = isOwnName(one.name) ? null : entryFor(one, join(above, one.name), walking);
    return { entry, place: one.place };
  });
  const unused = entries.flatMap(({ entry, place }) => (entry === null && place !== null ? [place] : []));
  if (unused.length > 0) walking.reader.drop(unused);
  return entries.flatMap(({ entry }) => (entry === null ? [] : [entry]));
}

/** Null: it is left out, or it is a directory. */
function entryFor({ status, place, target }: Looked, path: Buffer, walking: Walking): FoundEntry | null {
  const common = describe(status, path);
  if (status.kind === 'link') {
    const bytes = Buffer.from(target, 'latin1');
    if (!isSafeTarget(bytes, depthOf(path))) return null;
    return admit({ ...common, kind: 'link', target: bytes, place: null }, walking);
  }
  if (place === null || isSame(status, walking.except)) return null;
  expectOwn(place, status, { path, walking });
  return admit({ ...common, kind: 'file', sizeBytes: status.sizeBytes, place }, walking);
}

/** What is the server's own by its status needs no second look. */
function expectOwn(
  place: number,
  { uid }: Status,
  { path, walking }: { path: Buffer; walking: Walking },
): void {
  const { owner } = walking.files;
  if (uid === (owner?.uid ?? process.getuid?.())) return;
  try {
    checkNames(place, fstatSync(place), owner);
  } catch (error) {
    throw named(path, error);
  }
}

function isSame({ inode, device }: Status, other: Stats | null): boolean {
  return other !== null && inode === other.ino && device === other.dev;
}

function join(above: Buffer, name: string): Buffer {
  const bytes = Buffer.from(name, 'latin1');
  return above.length === 0 ? bytes : Buffer.concat([above, Buffer.from('/'), bytes]);
}

/** Of the directory that it is in. */
function depthOf(path: Buffer): number {
  let slashes = 0;
  for (const byte of path) if (byte === 0x2f) slashes += 1;
  return slashes;
}

function describe({ mode, modifiedAtMs }: Status, path: Buffer): Omit<TreeEntry, 'kind'> {
  return { name: path, mode: mode & 0o777, modifiedAtMs, sizeBytes: 0, target: NO_BYTES };
}

function admit(entry: FoundEntry, walking: Walking): FoundEntry {
  walking.entries += 1;
  walking.nameBytes += entry.name.length + entry.target.length;
  if (walking.entries > ENTRIES_MAX || walking.nameBytes > NAMES_MAX_BYTES) throw tooMany();
  return entry;
}

function tooMany(): FileError {
  return new FileError('file.too_large', `More than ${ENTRIES_MAX} files: put them into several archives.`);
}

/** An error about one of many files says which. */
async function naming<Result>(path: Buffer, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw named(path, error);
  }
}

function named(path: Buffer, error: unknown): unknown {
  const known = toFileError(error);
  if (!(known instanceof FileError)) return error;
  return new FileError(known.code, `"/${showName(path)}": ${known.message}`, { cause: error });
}
