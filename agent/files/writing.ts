import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { FileEntry } from '../../src/protocol/data-plane.js';
import { toEntry } from './entry.js';
import { FileError } from './errors.js';
import { type Account, type Claim, ENTRY_BYTES } from './quota.js';
import { heldBytes } from './regular.js';
import type { Owner } from './sandbox.js';
import { lookAtTarget, type Target } from './target.js';
import { createTemporary } from './temporary.js';
import type { Place } from './walk.js';

const FILE_MODE = 0o644;
/** Gathered before it is written: frames are small. */
const GATHERED_BYTES = 512 * 1024;
const GATHERED_PIECES = 512;

export interface Writing extends Target {
  owner: Owner | null;
  account: Account;
  signal: AbortSignal;
  /** Null: not known. */
  sizeBytes: number | null;
}

/** All of the source under this name, or nothing of it. */
export async function writeFile(place: Place, source: Readable, writing: Writing): Promise<FileEntry> {
  const { owner, account, signal, replace, sizeBytes } = writing;
  const before = await lookAtTarget(place, writing);
  const claim = await account.claim((sizeBytes ?? 0) + ENTRY_BYTES);
  let isKept = false;
  try {
    const temporary = await createTemporary(place.parent, owner);
    try {
      claim.wrote(ENTRY_BYTES);
      await pour(source, temporary.handle, { signal, sizeBytes, claim });
      const mode = before?.isFile() ? before.mode : FILE_MODE;
      signal.throwIfAborted();
      await temporary.finish(place.name, { mode, replace });
      isKept = true;
      await writing.pending.hide(place);
      if (before !== null) account.credit(heldBytes(before));
      return toEntry(place.name, await temporary.handle.stat());
    } finally {
      await temporary.dispose();
    }
  } finally {
    claim.end(isKept);
  }
}

interface Pouring {
  signal: AbortSignal;
  sizeBytes: number | null;
  claim: Claim;
}

async function pour(source: Readable, file: FileHandle, pouring: Pouring): Promise<void> {
  const { signal, sizeBytes, claim } = pouring;
  let position = 0;
  for await (const { pieces, bytes } of gathered(source, signal)) {
    if (sizeBytes !== null && bytes > sizeBytes - position) {
      throw new FileError('file.failed', 'There were more bytes than were announced.');
    }
    if (sizeBytes === null) await claim.grow(bytes);
    await writeFully(file, pieces, position);
    claim.wrote(bytes);
    position += bytes;
  }
  if (sizeBytes !== null && position !== sizeBytes) {
    throw new FileError(
      'file.failed',
      'The transfer was cut off: there were fewer bytes than were announced.',
    );
  }
}

/** What is written in one go. The pieces are as they came: joining them would copy them. */
export interface Gathered {
  pieces: Buffer[];
  bytes: number;
}

/** The source in larger portions. It is destroyed when the signal is aborted, else left to whoever made it. */
export async function* gathered(source: Readable, signal: AbortSignal): AsyncGenerator<Gathered> {
  const stop = () => source.destroy(new FileError('file.failed', 'The transfer was stopped.'));
  signal.addEventListener('abort', stop, { once: true });
  try {
    if (signal.aborted) stop();
    let [pieces, bytes]: [Buffer[], number] = [[], 0];
    for await (const piece of source.iterator({ destroyOnReturn: false })) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes < GATHERED_BYTES && pieces.length < GATHERED_PIECES) continue;
      yield { pieces, bytes };
      [pieces, bytes] = [[], 0];
    }
    signal.throwIfAborted();
    if (bytes > 0) yield { pieces, bytes };
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** @param position Null: at the end of a file that was opened for that. */
export async function writeFully(file: FileHandle, pieces: Buffer[], position: number | null): Promise<void> {
  let left = pieces;
  let written = 0;
  while (left.length > 0) {
    const at = position === null ? null : position + written;
    const { bytesWritten } = await file.writev(left, at ?? undefined);
    written += bytesWritten;
    left = withoutFirst(left, bytesWritten);
  }
}

function withoutFirst(pieces: Buffer[], bytes: number): Buffer[] {
  let skipped = 0;
  for (const [index, piece] of pieces.entries()) {
    if (skipped + piece.length > bytes) return [piece.subarray(bytes - skipped), ...pieces.slice(index + 1)];
    skipped += piece.length;
  }
  return [];
}
