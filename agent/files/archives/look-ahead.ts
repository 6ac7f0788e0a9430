import { closeSync, constants, openSync, type Stats } from 'node:fs';
import { type FileHandle, readlink } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { entryOf, O_PATH } from '../descriptors.js';
import { FileError, toFileError } from '../errors.js';
import { namesIn } from '../listing.js';
import { isOwnName } from '../own-names.js';
import { checkNames } from '../regular.js';
import type { ServerFiles } from '../server-files.js';
import { ignoreMissing } from '../temporary.js';
import { together } from '../together.js';
import type { Arena } from './arenas.js';
import { openNumber, readInto, statusOf } from './quick-files.js';
import { showName } from './refusals.js';

const AT_ONCE = 32;
/** Files up to this are read while others are on their way, as long as there is room for them. */
const READ_AHEAD_FILE_MAX_BYTES = 512 * 1024;
export const NO_BYTES = Buffer.alloc(0);

export interface TreeOptions {
  files: ServerFiles;
  signal: AbortSignal;
  /** The archive that is about to be replaced is not packed into its successor. */
  except: Stats | null;
}

export interface LookingAhead extends TreeOptions {
  newArena(): Arena | null;
}

/** A name in a directory, and what it was when it was looked at. */
export interface Found {
  path: Buffer;
  status: Stats;
  target: Buffer;
  /** Null: not read yet. */
  content: Buffer | null;
}

/** One batch is looked at while the one before is dealt with. Nothing is under way any more when it has ended. */
export async function* lookAhead(
  directory: FileHandle,
  path: Buffer,
  walking: LookingAhead,
): AsyncGenerator<Found[]> {
  let next: Batch | null = null;
  try {
    for await (const names of batchesOf(directory)) {
      const current = next;
      next = beginBatch(directory, names, path, walking);
      if (current !== null) yield* oneBatch(current);
    }
    const last = next;
    next = null;
    if (last !== null) yield* oneBatch(last);
  } finally {
    await next?.found.catch(() => {});
  }
}

interface Batch {
  found: Promise<Found[]>;
  arena: Arena | null;
}

function beginBatch(directory: FileHandle, names: Buffer[], path: Buffer, walking: LookingAhead): Batch {
  const arena = walking.newArena();
  const looks = names.map((name) => look(directory, name, path, { ...walking, arena }));
  const found = together(looks).then((all) => all.filter((one) => one !== null));
  // Whoever waits for it hears of it.
  found.catch(() => {});
  return { found, arena };
}

async function* oneBatch({ found, arena }: Batch): AsyncGenerator<Found[]> {
  try {
    yield await found;
  } finally {
    arena?.release();
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
  reading: Reading,
): Promise<Found | null> {
  const path = above.length === 0 ? name : Buffer.concat([above, Buffer.from('/'), name]);
  return await naming(path, async () => {
    const at = entryOf(directory, name);
    const place = await openNumber(at, O_PATH | constants.O_NOFOLLOW).catch(ignoreMissing);
    if (place === undefined) return null;
    try {
      const status = statusOf(place);
      const target = status.isSymbolicLink() ? await targetOf(at) : NO_BYTES;
      return { path, status, target, content: await readSmall(place, status, reading) };
    } finally {
      closeSync(place);
    }
  });
}

interface Reading extends Pick<TreeOptions, 'files' | 'except'> {
  arena: Arena | null;
}

/** @param place Opened as such, so that nothing but its content is waited for. Null: it is no file, or too large. */
async function readSmall(
  place: number,
  status: Stats,
  { files, except, arena }: Reading,
): Promise<Buffer | null> {
  const { size } = status;
  if (!status.isFile() || size > READ_AHEAD_FILE_MAX_BYTES || isSame(status, except)) return null;
  const content = arena?.take(size) ?? null;
  if (content === null) return null;
  checkNames(place, status, files.owner);
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

export function isSame(status: Stats, other: Stats | null): boolean {
  return other !== null && status.ino === other.ino && status.dev === other.dev;
}

/** Empty, which is no target, when it is a link no longer. */
export async function targetOf(at: Buffer): Promise<Buffer> {
  try {
    return await readlink(at, 'buffer');
  } catch (error) {
    if (isErrorCode(error, 'ENOENT') || isErrorCode(error, 'EINVAL')) return NO_BYTES;
    throw error;
  }
}

/** An error about one of many files says which. */
export async function naming<Result>(path: Buffer, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const known = toFileError(error);
    if (!(known instanceof FileError)) throw error;
    throw new FileError(known.code, `"/${showName(path)}": ${known.message}`, { cause: error });
  }
}
