import { constants } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import type { Owner } from '../owner.js';
import { entryOf, openDirectory, openPlace, type PathHandle } from '../paths/descriptors.js';
import { createLink } from '../paths/links.js';
import { newName } from '../paths/own-names.js';
import { openRegular } from '../paths/regular.js';
import { batchPieces, lengthOf, readRange } from './bytes.js';
import { createPool } from './pool.js';
import {
  closeNumber,
  openNumber,
  setMode,
  setOwner,
  setTimes,
  statusOf,
  writePieces,
} from './quick-files.js';
import {
  type Attributes,
  DIRECTORIES_OPEN_MAX,
  nameOf,
  openDirectories,
  secondsOf,
} from './staged-directories.js';
import { removeTree } from './tree-removal.js';

/** One less than the threads that Node has for files: others want to get at theirs meanwhile. */
const FILES_AT_ONCE = 3;
const HELD_MAX_BYTES = 8 * 1024 * 1024;
const CREATE = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** A directory that nobody but us may enter, in which an archive is unpacked. Links in it are never followed. */
export interface Staging {
  root: PathHandle;
  addDirectory(parts: Buffer[], attributes: Attributes): Promise<void>;
  /** @param onWritten After each piece. What is in memory is written while other files are. */
  addFile(
    parts: Buffer[],
    content: Buffer[] | AsyncIterable<Buffer>,
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

export async function createStaging(parent: PathHandle, owner: Owner | null): Promise<Staging> {
  const name = newName('unpacking');
  await mkdir(entryOf(parent, name), 0o700);
  const root = await openDirectory(entryOf(parent, name)).catch(async (error: unknown) => {
    await removeTree(parent, name);
    throw error;
  });
  const directories = openDirectories(root);
  const pool = createPool({ atOnceMax: FILES_AT_ONCE, heldMaxBytes: HELD_MAX_BYTES });
  const links: { parts: Buffer[]; target: Buffer }[] = [];

  /** Nobody works by a directory that is closed to make room for others. */
  async function directoryOf(parts: Buffer[]): Promise<PathHandle> {
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
      const writing = { ...attributes, owner, onWritten };
      if (!Array.isArray(content)) return await writeNew(at, batchPieces(content), writing);
      await pool.add(lengthOf(content), () => writeNew(at, [content], writing));
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
        await createLink({ parent, name: nameOf(parts) }, target, owner);
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

interface Writing extends Attributes {
  owner: Owner | null;
  onWritten(bytes: number): void;
}

async function writeNew(
  at: Buffer,
  content: Iterable<Buffer[]> | AsyncIterable<Buffer[]>,
  { owner, mode, modifiedAtMs, onWritten }: Writing,
): Promise<void> {
  const file = await openNumber(at, constants.O_WRONLY | CREATE, mode);
  try {
    let position = 0;
    for await (const pieces of content) {
      const bytes = lengthOf(pieces);
      if (bytes > 0) await writePieces(file, pieces, position);
      position += bytes;
      onWritten(bytes);
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
