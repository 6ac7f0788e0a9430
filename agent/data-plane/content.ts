import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { DATA_BUFFER_BYTES, FILE_JSON_MAX_BYTES, type FileEntry } from '../../src/protocol/data-plane.js';
import { giveBackChunk } from '../files/chunks.js';
import type { Content } from '../files/contract.js';
import { FileError } from '../files/errors.js';

const OK = 200;

export async function readJson(stream: ServerHttp2Stream): Promise<unknown> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream) {
    sizeBytes += chunk.length;
    if (sizeBytes > FILE_JSON_MAX_BYTES) throw new FileError('file.failed', 'The request is too large.');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new FileError('file.failed', 'The request is not JSON.');
  }
}

export function sendJson(stream: ServerHttp2Stream, value: unknown): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ':status': OK, 'content-type': 'application/json' });
  stream.end(JSON.stringify(value));
}

/** What cannot be sent to its end is reset: nobody takes it for the whole. */
export async function sendContent(
  stream: ServerHttp2Stream,
  content: Content,
  entry: FileEntry | null,
): Promise<void> {
  if (stream.destroyed || stream.closed) {
    content.stream.destroy();
    return;
  }
  stream.respond({
    ':status': OK,
    'content-type': 'application/octet-stream',
    'content-length': content.sizeBytes,
    ...(entry !== null && { 'x-entry': toAscii(JSON.stringify(entry)) }),
  });
  try {
    await pour(content.stream, stream);
  } catch (error) {
    stream.destroy(new Error('The answer was broken off.'));
    throw error;
  }
}

/** Each piece is written before the next one is: by then another one has been read. */
async function pour(source: Readable, stream: ServerHttp2Stream): Promise<void> {
  const stop = () => source.destroy(new Error('Nobody reads it any more.'));
  stream.once('close', stop);
  try {
    for await (const chunk of source) {
      await new Promise<void>((resolve, reject) => {
        stream.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
      giveBackChunk(chunk);
    }
    stream.end();
    await finished(stream, { readable: false });
  } finally {
    stream.off('close', stop);
  }
}

/**
 * What the panel sends, with an error where it was cut off. The end of an HTTP/2 stream proves nothing, because Node sends
 * it also before a reset; so whole is what has the size that the panel has said, in the trailers if not before.
 * To be called before anything else is awaited, lest the trailers are missed.
 */
export function wholeOf(stream: ServerHttp2Stream, sizeBytes: number | null): Readable {
  const cutOff = () => new FileError('file.failed', 'The transfer was cut off.');
  let expected = sizeBytes === null ? undefined : `${sizeBytes}`;
  let received = 0;
  let isOver = false;
  const whole = new Readable({
    highWaterMark: DATA_BUFFER_BYTES,
    read: () => void stream.resume(),
  });
  // Whoever reads hears of it there; nobody may be reading any more.
  whole.on('error', () => {});
  stream.once('trailers', (trailers: IncomingHttpHeaders) => {
    expected ??= String(trailers['x-size']);
  });
  const finish = () => {
    if (isOver) return;
    isOver = true;
    if (expected === `${received}` && !stream.aborted) whole.push(null);
    else whole.destroy(cutOff());
  };
  stream.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (!whole.destroyed && !whole.push(chunk)) stream.pause();
  });
  stream.once('end', finish);
  stream.once('close', finish);
  return whole;
}

/** JSON that fits into a header. */
function toAscii(json: string): string {
  return json.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
