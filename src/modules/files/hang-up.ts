import { Socket } from 'node:net';
import type { FastifyReply } from 'fastify';
import type { StartedTask } from './tasks.js';

/** A client that is gone without a word is noticed by TCP. */
const KEEP_ALIVE_MS = 60_000;

/**
 * For what may take longer than a connection may be idle: lets it be so until the answer is there. The next request on the
 * connection begins with the limit again.
 */
export function allowSilence({ raw: { socket } }: FastifyReply): void {
  // A request that was not sent, but put in, has none.
  if (!(socket instanceof Socket)) return;
  socket.setTimeout(0);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
}

/** Waits for what comes of a task, which is cancelled when the client hangs up before. */
export async function waitFor<Result>(
  task: StartedTask,
  result: Promise<Result>,
  reply: FastifyReply,
): Promise<Result> {
  const { raw } = reply;
  const onClose = () => task.cancel();
  raw.once('close', onClose);
  if (raw.destroyed) onClose();
  allowSilence(reply);
  try {
    return await result;
  } finally {
    raw.off('close', onClose);
  }
}
