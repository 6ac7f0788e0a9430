import type { ServerHttp2Stream } from 'node:http2';
import { PassThrough, type Readable } from 'node:stream';
import { DATA_BUFFER_BYTES } from '../../src/protocol/data-plane.js';

/** What the panel sends, as far as it comes: where it is cut off, it just ends. For what is kept in any case. */
export function whatCameOf(stream: ServerHttp2Stream): Readable {
  const part = new PassThrough({ readableHighWaterMark: DATA_BUFFER_BYTES });
  // Whoever reads hears of it there; nobody may be reading any more.
  part.on('error', () => {});
  stream.once('close', () => {
    if (!part.writableEnded) part.end();
  });
  return stream.pipe(part);
}
