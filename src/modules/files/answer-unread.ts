import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError, type ErrorCode } from '../../lib/errors.js';

const DISCARDED_MAX_BYTES = 256 * 1024 * 1024;
const DISCARDING_MAX_MS = 10_000;
/** Who may not send any more is not listened to for long. */
const LOST_RIGHTS_MAX_MS = 500;
const LOST_RIGHTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'auth.invalid_token',
  'permission.denied',
  'server.not_found',
  'server.suspended',
  'server.being_deleted',
]);

/** Before an error is answered: a client that still sends does not read, and would never see why it was refused. */
export async function answerUnread(
  { raw }: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
): Promise<unknown> {
  const isLost = error instanceof AppError && LOST_RIGHTS.has(error.code);
  await discardBody(raw, isLost ? LOST_RIGHTS_MAX_MS : DISCARDING_MAX_MS);
  reply.header('connection', 'close');
  return error;
}

/** Reads what a client still sends and throws it away, within limits, so that it comes to read the answer. */
async function discardBody(request: IncomingMessage, maxMs: number): Promise<void> {
  if (request.readableEnded || request.destroyed) return;
  // Whoever read it so far would hold it up.
  request.unpipe();
  let bytes = 0;
  await new Promise<void>((resolve) => {
    const deadline = setTimeout(resolve, maxMs);
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
