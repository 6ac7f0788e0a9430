import type { Dir, Stats } from 'node:fs';
import type { Listing, Looked, Status } from './messages.js';
import type { Thread } from './state.js';

function pathIn(place: number, name?: string): Buffer {
  return Buffer.from(`/proc/self/fd/${place}${name === undefined ? '' : `/${name}`}`, 'latin1');
}

function isGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'EINVAL';
}

function statusFrom(stats: Stats): Status {
  const kind = stats.isFile()
    ? 'file'
    : stats.isDirectory()
      ? 'directory'
      : stats.isSymbolicLink()
        ? 'link'
        : 'other';
  return {
    kind,
    mode: stats.mode,
    sizeBytes: stats.size,
    modifiedAtMs: stats.mtimeMs,
    inode: stats.ino,
    device: stats.dev,
    uid: stats.uid,
  };
}

/** Opened as a place: FIFOs and devices do not notice. */
function look({ fs, data }: Thread, at: Buffer, name: string): Looked | null {
  let place: number;
  try {
    place = fs.openSync(at, data.flags.place);
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
  const status = statusFrom(fs.fstatSync(place));
  if (status.kind === 'file') return { name, status, place, target: '' };
  fs.closeSync(place);
  let target = '';
  try {
    if (status.kind === 'link') target = fs.readlinkSync(at, 'latin1');
  } catch (error) {
    if (!isGone(error)) throw error;
  }
  return { name, status, place: null, target };
}

function openListed({ fs, data }: Thread, at: Buffer): { directory: number; dir: Dir } | null {
  try {
    const directory = fs.openSync(at, data.flags.directory);
    return { directory, dir: fs.opendirSync(pathIn(directory), { encoding: 'latin1', bufferSize: 256 }) };
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

function more(thread: Thread, directory: number): Listing | null {
  const open = thread.listed.get(directory);
  if (open === undefined) return null;
  const looked: Looked[] = [];
  for (let names = 0; names < thread.data.namesAtOnce; names += 1) {
    const name = open.dir.readSync()?.name;
    if (name === undefined) return { directory, status: open.status, looked, isOver: true };
    const one = look(thread, pathIn(directory, name), name);
    if (one !== null) looked.push(one);
  }
  return { directory, status: open.status, looked, isOver: false };
}

function enter(thread: Thread, at: Buffer): Listing | null {
  const open = openListed(thread, at);
  if (open === null) return null;
  const { directory, dir } = open;
  thread.listed.set(directory, { dir, status: statusFrom(thread.fs.fstatSync(directory)) });
  return more(thread, directory);
}

function leave({ fs, listed }: Thread, directory: number): void {
  listed.get(directory)?.dir.closeSync();
  listed.delete(directory);
  fs.closeSync(directory);
}

/** A few names more. What cannot be counted is met again by who packs, and told then. */
function count(thread: Thread): void {
  const { fs, counted, data } = thread;
  try {
    for (let names = 0; names < data.namesAtOnce; names += 1) {
      const last = counted.way.at(-1);
      if (last === undefined) return;
      const name = last.dir.readSync()?.name;
      if (name !== undefined && data.ownName.test(name)) continue;
      if (name === undefined) {
        counted.way.pop();
        last.dir.closeSync();
        fs.closeSync(last.directory);
        continue;
      }
      const stats = fs.lstatSync(pathIn(last.directory, name), { throwIfNoEntry: false });
      if (stats?.isFile()) counted.bytes += stats.size;
      const inner = stats?.isDirectory() ? openListed(thread, pathIn(last.directory, name)) : null;
      if (inner !== null) counted.way.push(inner);
    }
  } catch {
    counted.isPossible = false;
    stopCounting(thread);
  }
}

function beginCounting(thread: Thread, at: Buffer, bytes: number): void {
  const { counted, data } = thread;
  counted.bytes += bytes;
  const open = openListed(thread, at);
  if (open !== null) counted.way.push(open);
  while (counted.way.length > data.countedOpenMax) count(thread);
}

function stopCounting({ fs, counted }: Thread): void {
  for (const { dir, directory } of counted.way.splice(0)) {
    dir.closeSync();
    fs.closeSync(directory);
  }
}

function doneSoFar({ done, counted }: Thread) {
  const isKnown = counted.isPossible && counted.way.length === 0;
  return { ...done, totalBytes: isKnown ? counted.bytes : null };
}

/** For the text of the program: see there. */
export const LOOKING = {
  pathIn,
  isGone,
  statusFrom,
  look,
  openListed,
  more,
  enter,
  leave,
  count,
  beginCounting,
  stopCounting,
  doneSoFar,
};
