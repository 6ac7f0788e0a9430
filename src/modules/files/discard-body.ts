import type { IncomingMessage } from 'node:http';

const DISCARDED_MAX_BYTES = 256 * 1024 * 1024;
const DISCARDING_MAX_MS = 10_000;

/** Reads what a client still sends and throws it away, within limits, so that it comes to read the answer. */
export async function discardBody(request: IncomingMessage): Promise<void> {
  if (request.readableEnded || request.destroyed) return;
  // Whoever read it so far would hold it up.
  request.unpipe();
  let bytes = 0;
  await new Promise<void>((resolve) => {
    const deadline = setTimeout(resolve, DISCARDING_MAX_MS);
    const finish = () => {
      clearTimeout(deadline);
      resolve();
    };
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > DISCARDED_MAX_BYTES) finish();
    });
    request.once('end', finish).once('close', finish).once('error', finish);
    request.resume();
  });
}
