import { constants } from 'node:fs';
import { chmod, chown, type FileHandle, mkdir, symlink, utimes } from 'node:fs/promises';
import { entryOf, openDirectory, openPlace, pathOf } from '../descriptors.js';
import { openRegular } from '../regular.js';
import type { Owner } from '../sandbox.js';
import { readRange } from './bytes.js';
import { newStagingName, removeTree } from './leftover-directories.js';
import { createPool } from './pool.js';
import { closeNumber, openNumber, setMode, setOwner, setTimes, statusOf, writeAll } from './quick-files.js';

const FILES_AT_ONCE = 8;
const HELD_MAX_BYTES = 8 * 1024 * 1024;
const DIRECTORIES_OPEN_MAX = 128;
const CREATE = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Half of the times that the file systems of today can keep are far enough away. */
const TIME_MAX_SECONDS = 8_640_000_000;

interface Attributes {
  mode: number;
  modifiedAtMs: number | null;
}

/** A directory that nobody but us may enter, in which an archive is unpacked. Links in it are never followed. */
export interface Staging {
  root: FileHandle;
  addDirectory(parts: Buffer[], attributes: Attributes): Promise<void>;
  /** @param onWritten After each piece. A buffer is written while others are under way. */
  addFile(
    parts: Buffer[],
    content: Buffer | AsyncIterable<Buffer>,
    attributes: Attributes,
    onWritten: (bytes: number) => void,
  ): Promise<void>;
  addCopy(
    parts: Buffer[],
    original: Buffer[],
    attributes: Attributes,
    onWritten: (bytes: number) => void,
  ): Promise<void>;
  /** It is made when everything else is there. */
  addLink(parts: Buffer[], target: Buffer): void;
  /** Everything is on its way to the disk, with its owner, mode and time. */
  finish(): Promise<void>;
  /** When nothing is being written any more. */
  remove(): Promise<void>;
}

export async function createStaging(parent: FileHandle, owner: Owner | null): Promise<Staging> {
  const name = newStagingName();
  await mkdir(entryOf(parent, name), 0o700);
  const root = await openDirectory(entryOf(parent, name)).catch(async (error: unknown) => {
    await removeTree(parent, name);
    throw error;
  });
  const directories = openDirectories(root);
  const pool = createPool({ atOnceMax: FILES_AT_ONCE, heldMaxBytes: HELD_MAX_BYTES });
  const links: { parts: Buffer[]; target: Buffer }[] = [];

  /** Nobody works by a directory that is closed to make room for others. */
  async function directoryOf(parts: Buffer[]): Promise<FileHandle> {
    if (directories.openCount() >= DIRECTORIES_OPEN_MAX) {
      await pool.drain();
      await directories.closeAll();
    }
    return await directories.open(parts);
  }

  const staging: Staging = {
    root,
    async addDirectory(parts, attributes) {
      await directoryOf(parts);
      directories.describe(parts, attributes);
    },
    async addFile(parts, content, attributes, onWritten) {
      const at = entryOf(await directoryOf(parts.slice(0, -1)), nameOf(parts));
      if (Buffer.isBuffer(content)) {
        const write = () => writeNew(at, [content], { ...attributes, owner, onWritten });
        return await pool.add(content.length, write);
      }
      await writeNew(at, content, { ...attributes, owner, onWritten });
    },
    async addCopy(parts, original, attributes, onWritten) {
      await pool.drain();
      const place = await openPlace(entryOf(await directoryOf(original.slice(0, -1)), nameOf(original)));
      try {
        const file = await openRegular(place, constants.O_RDONLY, owner);
        try {
          const range = { start: 0, end: (await file.stat()).size };
          await staging.addFile(parts, readRange(file, range), attributes, onWritten);
        } finally {
          await file.close();
        }
      } finally {
        await place.close();
      }
    },
    addLink(parts, target) {
      links.push({ parts, target });
    },
    async finish() {
      await pool.drain();
      for (const { parts, target } of links) {
        const parent = await directoryOf(parts.slice(0, -1));
        await makeLink(entryOf(parent, nameOf(parts)), target, owner);
      }
      await directories.finish(owner);
    },
    async remove() {
      await pool.drain().catch(() => {});
      await directories.closeAll();
      await root.close();
      await removeTree(parent, name);
    },
  };
  return staging;
}

function nameOf(parts: Buffer[]): Buffer {
  return parts.at(-1) ?? Buffer.alloc(0);
}

interface Writing extends Attributes {
  owner: Owner | null;
  onWritten(bytes: number): void;
}

async function writeNew(
  at: Buffer,
  content: Iterable<Buffer> | AsyncIterable<Buffer>,
  { owner, mode, modifiedAtMs, onWritten }: Writing,
): Promise<void> {
  const file = await openNumber(at, constants.O_WRONLY | CREATE, mode);
  try {
    let position = 0;
    for await (const piece of content) {
      await writeAll(file, piece, position);
      position += piece.length;
      onWritten(piece.length);
    }
    if (owner !== null) await setOwner(file, owner.uid, owner.gid);
    // This process may keep some bits from what it makes.
    if ((statusOf(file).mode & 0o7777) !== mode) await setMode(file, mode);
    const seconds = secondsOf(modifiedAtMs);
    if (seconds !== null) await setTimes(file, seconds, seconds);
  } finally {
    await closeNumber(file);
  }
}

async function makeLink(at: Buffer, target: Buffer, owner: Owner | null): Promise<void> {
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

function secondsOf(timeMs: number | null): number | null {
  if (timeMs === null || !Number.isFinite(timeMs)) return null;
  return Math.min(Math.max(timeMs / 1000, -TIME_MAX_SECONDS), TIME_MAX_SECONDS);
}

interface KnownDirectory extends Attributes {
  parts: Buffer[];
  handle: FileHandle | null;
}

/** Those that have been made in the staging directory, some of them open. */
function openDirectories(root: FileHandle) {
  const known = new Map<string, KnownDirectory>();
  let openCount = 0;
  const keyOf = (parts: Buffer[]) => Buffer.concat(parts.flatMap((part) => [part, SLASH])).toString('latin1');

  async function openNext(parent: FileHandle, parts: Buffer[]): Promise<FileHandle> {
    const key = keyOf(parts);
    const before = known.get(key);
    if (before?.handle) return before.handle;
    const at = entryOf(parent, nameOf(parts));
    if (before === undefined) await mkdir(at, 0o700);
    const handle = await openDirectory(at);
    openCount += 1;
    if (before !== undefined) before.handle = handle;
    else known.set(key, { parts, handle, mode: DIRECTORY_MODE, modifiedAtMs: null });
    return handle;
  }

  async function openParts(parts: Buffer[]): Promise<FileHandle> {
    const direct = known.get(keyOf(parts))?.handle;
    if (direct) return direct;
    let directory = root;
    for (let depth = 1; depth <= parts.length; depth += 1) {
      directory = await openNext(directory, parts.slice(0, depth));
    }
    return directory;
  }

  async function closeAll() {
    for (const directory of known.values()) {
      const { handle } = directory;
      directory.handle = null;
      await handle?.close();
    }
    openCount = 0;
  }

  return {
    open: openParts,
    openCount: () => openCount,
    closeAll,
    describe(parts: Buffer[], { mode, modifiedAtMs }: Attributes) {
      const directory = known.get(keyOf(parts));
      if (directory !== undefined) Object.assign(directory, { mode, modifiedAtMs });
    },
    async finish(owner: Owner | null) {
      for (const { parts, mode, modifiedAtMs } of known.values()) {
        if (openCount >= DIRECTORIES_OPEN_MAX) await closeAll();
        const path = pathOf(await openParts(parts));
        if (owner !== null) await chown(path, owner.uid, owner.gid);
        await chmod(path, mode);
        const seconds = secondsOf(modifiedAtMs);
        if (seconds !== null) await utimes(path, seconds, seconds);
      }
    },
  };
}

const DIRECTORY_MODE = 0o755;
const SLASH = Buffer.from('/');
