import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { FileError } from '../errors.js';
import { failed, toFailure } from './failures.js';

const BYTES_PER_MB = 1024 * 1024;

export interface Reading {
  sizeBytesMax: number;
  idleTimeoutMs: number;
  signal: AbortSignal;
  onProgress(doneBytes: number): void;
}

export interface Body {
  /** Null: not said. */
  sizeBytes: number | null;
  /** All of it, else destroyed with a FileError. To be read or destroyed. */
  stream: Readable;
}

/** @throws FileError when it is too large or not the file's own bytes. */
export function readBody(response: IncomingMessage, reading: Reading): Body {
  try {
    const sizeBytes = checkHeaders(response, reading.sizeBytesMax);
    const stream = Readable.from(piecesOf(response, reading), { objectMode: false });
    // Whoever reads hears of it there; nobody may be reading any more.
    stream.on('error', () => {});
    return { sizeBytes, stream };
  } catch (error) {
    response.destroy();
    throw error;
  }
}

function checkHeaders({ headers }: IncomingMessage, sizeBytesMax: number): number | null {
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding.trim().toLowerCase() !== 'identity') {
    throw failed('The other side sends the file packed, though it was asked not to.');
  }
  const transfer = headers['transfer-encoding'];
  if (transfer !== undefined) {
    if (transfer.trim().toLowerCase() === 'chunked') return null;
    throw failed('The other side sends the file in a way that is not understood.');
  }
  const length = headers['content-length'];
  // A file that ends with the connection ends in the same way when it is cut off.
  if (length === undefined) throw failed('The other side does not say where the file ends.');
  const sizeBytes = Number(length);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes > sizeBytesMax) throw tooLarge(sizeBytesMax);
  return sizeBytes;
}

/** Times only the waiting for the other side, not for the disk. */
async function* piecesOf(response: IncomingMessage, reading: Reading): AsyncGenerator<Buffer> {
  const { sizeBytesMax, idleTimeoutMs, signal, onProgress } = reading;
  const stop = () => response.destroy(toFailure(signal.reason));
  const giveUp = () => response.destroy(failed('The other side has stopped sending.'));
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  let doneBytes = 0;
  let timer = setTimeout(giveUp, idleTimeoutMs);
  try {
    for await (const piece of response) {
      clearTimeout(timer);
      doneBytes += piece.length;
      if (doneBytes > sizeBytesMax) throw tooLarge(sizeBytesMax);
      yield piece;
      onProgress(doneBytes);
      timer = setTimeout(giveUp, idleTimeoutMs);
    }
    if (!response.complete) throw failed('The other side has cut the connection: try again.');
  } catch (error) {
    throw toFailure(error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    response.destroy();
  }
}

function tooLarge(sizeBytesMax: number) {
  const maxMb = Math.floor(sizeBytesMax / BYTES_PER_MB);
  return new FileError('file.too_large', `The file is larger than may be fetched: ${maxMb} MB at most.`);
}
