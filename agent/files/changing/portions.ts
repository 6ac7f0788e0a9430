import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { stopped } from '../errors.js';

/** Gathered before it is written: frames are small. */
const PORTION_BYTES = 512 * 1024;
const PORTION_PIECES = 512;

/** What is written in one go. The pieces are as they came: joining them would copy them. */
export interface Portion {
  pieces: Buffer[];
  bytes: number;
}

/**
 * The source in larger portions: all that came, and only then the error that ended it. The source is destroyed when the
 * signal is aborted, else left to whoever made it.
 */
export async function* portionsOf(source: Readable, signal: AbortSignal): AsyncGenerator<Portion> {
  const stop = () => source.destroy(stopped(signal));
  signal.addEventListener('abort', stop, { once: true });
  let [pieces, bytes]: [Buffer[], number] = [[], 0];
  try {
    if (signal.aborted) stop();
    let failure: unknown = null;
    try {
      for await (const piece of source.iterator({ destroyOnReturn: false })) {
        pieces.push(piece);
        bytes += piece.length;
        if (bytes < PORTION_BYTES && pieces.length < PORTION_PIECES) continue;
        yield { pieces, bytes };
        [pieces, bytes] = [[], 0];
      }
    } catch (error) {
      failure = error;
    }
    if (bytes > 0) yield { pieces, bytes };
    if (signal.aborted) throw stopped(signal);
    if (failure !== null) throw failure;
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

/** So many bytes of the pieces at most. */
export function firstOf(pieces: Buffer[], bytes: number): Buffer[] {
  let left = bytes;
  return pieces.flatMap((piece) => {
    const taken = piece.subarray(0, left);
    left -= taken.length;
    return taken.length > 0 ? [taken] : [];
  });
}

function withoutFirst(pieces: Buffer[], bytes: number): Buffer[] {
  let skipped = 0;
  for (const [index, piece] of pieces.entries()) {
    if (skipped + piece.length > bytes) return [piece.subarray(bytes - skipped), ...pieces.slice(index + 1)];
    skipped += piece.length;
  }
  return [];
}
