import type { FileHandle } from 'node:fs/promises';
import { cutOff } from './refusals.js';

export const CHUNK_BYTES = 256 * 1024;
const COPIED_MAX_BYTES = 16 * 1024;
const HELD_MAX_BYTES = 64 * 1024;
const BATCH_BYTES = 512 * 1024;
/** What the system takes in one call. */
const BATCH_PIECES_MAX = 512;

/** A stream of bytes that is taken in pieces of any size. */
export interface ByteReader {
  /** Exactly so many, or null when there is nothing left at all. Rejects with `archive.unreadable` in between. */
  take(bytes: number): Promise<Buffer | null>;
  /** Some, at most so many, or null when there is nothing left. */
  takeSome(maxBytes: number): Promise<Buffer | null>;
}

export function createByteReader(source: AsyncIterator<Buffer>): ByteReader {
  let rest: Buffer = Buffer.alloc(0);

  /** @returns False: there is no more. */
  async function fill(): Promise<boolean> {
    while (rest.length === 0) {
      const { done, value } = await source.next();
      if (done) return false;
      rest = value;
    }
    return true;
  }

  function cut(maxBytes: number): Buffer {
    const piece = rest.subarray(0, maxBytes);
    rest = rest.subarray(piece.length);
    return piece;
  }

  return {
    async take(bytes) {
      if (!(await fill())) return null;
      if (rest.length >= bytes) return cut(bytes);
      const pieces: Buffer[] = [];
      for (let missing = bytes; missing > 0; ) {
        if (!(await fill())) throw cutOff();
        // What comes next may be in the same memory.
        const piece = Buffer.from(cut(missing));
        pieces.push(piece);
        missing -= piece.length;
      }
      return Buffer.concat(pieces, bytes);
    },
    async takeSome(maxBytes) {
      return (await fill()) ? cut(maxBytes) : null;
    },
  };
}

/** A part of a file, by its offset and never by the position that others may share. One piece is read ahead. */
export function readRange(file: FileHandle, range: { start: number; end: number }): AsyncGenerator<Buffer> {
  return readPieces(file, range, () =>
    Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, range.end - range.start)),
  );
}

async function* readPieces(
  file: FileHandle,
  { start, end }: { start: number; end: number },
  memory: () => Buffer,
): AsyncGenerator<Buffer> {
  async function readAt(position: number): Promise<Buffer> {
    if (position >= end) return Buffer.alloc(0);
    const chunk = memory();
    const length = Math.min(chunk.length, end - position);
    const { bytesRead } = await file.read(chunk, 0, length, position);
    return chunk.subarray(0, bytesRead);
  }
  let position = start;
  let next = readAt(position);
  try {
    for (;;) {
      const piece = await next;
      if (piece.length === 0) return;
      position += piece.length;
      next = readAt(position);
      // Whoever waits for it hears of it.
      next.catch(() => {});
      yield piece;
    }
  } finally {
    // A file is not closed while it is read.
    await next.catch(() => {});
  }
}

/** All of the range, or an error. For what is known to be small. */
export async function readFully(file: FileHandle, position: number, bytes: number): Promise<Buffer> {
  const result = Buffer.allocUnsafe(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await file.read(result, done, bytes - done, position + done);
    if (bytesRead === 0) throw cutOff();
    done += bytesRead;
  }
  return result;
}

/**
 * Bytes that are written at once, of which each group may be used only until the next one is asked for. Small ones are
 * copied together; copying large ones would cost as much as reading them.
 */
export async function* batchGroups(groups: AsyncIterable<Buffer[]>): AsyncGenerator<Buffer[]> {
  let [held, heldBytes]: [Buffer[], number] = [[], 0];
  for await (const group of groups) {
    const bytes = lengthOf(group);
    if (bytes < COPIED_MAX_BYTES) {
      held.push(Buffer.concat(group, bytes));
      heldBytes += bytes;
      if (heldBytes < HELD_MAX_BYTES) continue;
      yield held;
    } else {
      yield [...held, ...group];
    }
    [held, heldBytes] = [[], 0];
  }
  if (heldBytes > 0) yield held;
}

/** The same of pieces that nobody uses again. */
export async function* batchPieces(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer[]> {
  let [held, heldBytes]: [Buffer[], number] = [[], 0];
  for await (const piece of pieces) {
    held.push(piece);
    heldBytes += piece.length;
    if (heldBytes < BATCH_BYTES && held.length < BATCH_PIECES_MAX) continue;
    yield held;
    [held, heldBytes] = [[], 0];
  }
  if (heldBytes > 0) yield held;
}

export function lengthOf(pieces: Buffer[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** As much as was announced of what may have changed since: the rest is left out, what is missing is zeros. */
export async function* exactly(
  content: Buffer | AsyncIterable<Buffer>,
  sizeBytes: number,
): AsyncGenerator<Buffer> {
  let missing = sizeBytes;
  for await (const piece of Buffer.isBuffer(content) ? [content] : content) {
    if (missing === 0) break;
    const part = piece.subarray(0, missing);
    missing -= part.length;
    if (part.length > 0) yield part;
  }
  while (missing > 0) {
    const part = Buffer.alloc(Math.min(missing, CHUNK_BYTES));
    missing -= part.length;
    yield part;
  }
}
