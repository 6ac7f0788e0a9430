import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { CHUNK_BYTES, takeChunk } from './chunks.js';
import { FileError, toFileError } from './errors.js';

export interface Range {
  offset: number;
  /** Null: to the end. */
  length: number | null;
}

/** How many bytes of a file of this size the range has. */
export function lengthWithin(sizeBytes: number, { offset, length }: Range): number {
  const left = Math.max(0, sizeBytes - offset);
  return length === null ? left : Math.min(left, length);
}

/**
 * Exactly so many bytes: a file that has become shorter destroys the stream, and what has been added is left out. Reads only
 * when somebody takes. Its pieces are chunks, to be given back. However it ends, `release` is called, never while the file is being read.
 */
export function streamOf(
  file: FileHandle,
  range: { offset: number; sizeBytes: number },
  release: () => Promise<void>,
): Readable {
  let position = range.offset;
  const end = range.offset + range.sizeBytes;
  let reading: Promise<void> = Promise.resolve();

  async function readNext(stream: Readable): Promise<void> {
    const left = end - position;
    if (left === 0) return void stream.push(null);
    const chunk = takeChunk();
    const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, left), position);
    if (bytesRead === 0) throw new FileError('file.failed', 'The file became shorter while it was read.');
    position += bytesRead;
    stream.push(chunk.subarray(0, bytesRead));
  }

  return new Readable({
    highWaterMark: CHUNK_BYTES,
    read() {
      reading = readNext(this).catch((error: unknown) => {
        const failure = toFileError(error);
        this.destroy(failure instanceof Error ? failure : new Error(String(failure)));
      });
    },
    destroy(error, done) {
      // The number of a closed file may be another file's at once.
      reading
        .then(release)
        .then(() => done(error))
        .catch((failure: Error) => done(error ?? failure));
    },
  });
}

/** The stream ends when the signal does, and holds nothing after. */
export function stopWith(stream: Readable, signal: AbortSignal): Readable {
  const stop = () => stream.destroy(new FileError('file.failed', 'The transfer was stopped.'));
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  stream.once('close', () => signal.removeEventListener('abort', stop));
  return stream;
}
