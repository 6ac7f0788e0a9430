import { constants } from 'node:fs';
import { type FileHandle, readlink } from 'node:fs/promises';
import { FileError } from '../errors.js';
import type { PendingFiles } from '../handles/pending.js';
import { lookAt, type Shown, shownIn } from '../listing/shown.js';
import type { Owner } from '../owner.js';
import { entryOf, openPlace, type PathHandle } from '../paths/descriptors.js';
import { createLink } from '../paths/links.js';
import { DEPTH_MAX } from '../paths/paths.js';
import { openRegular } from '../paths/regular.js';
import { type Account, ENTRY_BYTES } from '../quota/quota.js';
import { makeDirectory } from './making.js';
import { writeFully } from './portions.js';
import { createTemporary } from './temporary.js';

const ENTRIES_MAX = 200_000;
const CHUNK_BYTES = 512 * 1024;
const NOTHING = Buffer.alloc(CHUNK_BYTES);
/** So that its owner can enter what is copied. */
const OWNER_BITS = 0o700;

export interface Copying {
  owner: Owner | null;
  account: Account;
  pending: PendingFiles;
  signal: AbortSignal;
}

interface Target {
  parent: PathHandle;
  name: string | Buffer;
}

interface Progress extends Copying {
  bytes: number;
  entries: number;
  depth: number;
  /** The topmost directory that was made; null: none yet. */
  made: { dev: number; ino: number } | null;
}

/**
 * What is open as a place, with everything in it, under a new name. Links are copied as links; FIFOs and devices are left
 * out, as are names that another program is just removing. What has been copied before an error stays.
 * @returns How many bytes the files had.
 */
export async function copyEntry(
  source: PathHandle,
  target: Target & { name: string },
  copying: Copying,
): Promise<number> {
  const progress: Progress = { ...copying, bytes: 0, entries: 0, depth: 0, made: null };
  const status = await source.stat();
  if (status.isDirectory()) await copyDirectory(source, target, progress);
  else await copyFile(source, target, progress);
  return progress.bytes;
}

async function copyDirectory(
  source: PathHandle,
  { parent, name }: Target,
  progress: Progress,
): Promise<void> {
  if (progress.depth > DEPTH_MAX) {
    throw new FileError('file.failed', `More than ${DEPTH_MAX} directories are in one another.`);
  }
  const { mode, dev, ino } = await source.stat();
  if (progress.made?.ino === ino && progress.made.dev === dev) throw intoItself();
  const made = await makeDirectory(parent, name, { ...progress, mode: mode | OWNER_BITS });
  try {
    progress.depth += 1;
    progress.made ??= await made.stat();
    for await (const shown of shownIn(source, progress.pending)) {
      progress.signal.throwIfAborted();
      await copyChild(source, { ...shown, parent: made }, progress);
    }
    progress.depth -= 1;
  } finally {
    await made.close();
  }
}

async function copyChild(
  directory: PathHandle,
  target: Shown & { parent: PathHandle },
  progress: Progress,
): Promise<void> {
  progress.entries += 1;
  if (progress.entries > ENTRIES_MAX) {
    throw new FileError('file.too_large', `More than ${ENTRIES_MAX} files: copy it in parts.`);
  }
  const place = await lookAt(directory, target, openPlace);
  if (place === null) return;
  try {
    const status = await place.stat();
    if (status.isDirectory()) await copyDirectory(place, target, progress);
    else if (status.isSymbolicLink()) await copyLink(directory, target, progress);
    else if (status.isFile()) await copyFile(place, target, progress);
  } finally {
    await place.close();
  }
}

async function copyFile(source: PathHandle, { parent, name }: Target, progress: Progress): Promise<void> {
  const { account, owner, signal } = progress;
  const from = await openRegular(source, constants.O_RDONLY, owner);
  try {
    const { size, mode } = await from.stat();
    const claim = await account.claim(size + ENTRY_BYTES);
    let isKept = false;
    try {
      const temporary = await createTemporary(parent, owner);
      try {
        claim.wrote(ENTRY_BYTES);
        await copyBytes(from, temporary.handle, { sizeBytes: size, signal, onWritten: claim.wrote });
        await temporary.finish(name, { mode, replace: false });
        isKept = true;
      } finally {
        await temporary.dispose();
      }
    } finally {
      claim.end(isKept);
    }
    progress.bytes += size;
  } finally {
    await from.close();
  }
}

interface Bytes {
  sizeBytes: number;
  signal: AbortSignal;
  onWritten(bytes: number): void;
}

/** Not by the system's own call, which would give the copy set-user-id before it gives it its owner. */
async function copyBytes(
  from: FileHandle,
  to: FileHandle,
  { sizeBytes, signal, onWritten }: Bytes,
): Promise<void> {
  const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(1, sizeBytes)));
  for (let position = 0; position < sizeBytes; ) {
    signal.throwIfAborted();
    const { bytesRead } = await from.read(chunk, 0, Math.min(chunk.length, sizeBytes - position), position);
    if (bytesRead === 0) throw new FileError('file.failed', 'A file became shorter while it was copied.');
    const bytes = chunk.subarray(0, bytesRead);
    // Holes stay holes: a small file may be a terabyte of nothing.
    if (!bytes.equals(NOTHING.subarray(0, bytesRead))) await writeFully(to, [bytes], position);
    position += bytesRead;
    onWritten(bytesRead);
  }
  await to.truncate(sizeBytes);
}

async function copyLink(directory: PathHandle, target: Target, { owner }: Progress): Promise<void> {
  await createLink(target, await readlink(entryOf(directory, target.name), 'buffer'), owner);
}

export function intoItself(): FileError {
  return new FileError('file.name_invalid', 'A directory cannot be put into itself.');
}
