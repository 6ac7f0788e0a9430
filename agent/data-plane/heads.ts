import type { Duplex } from 'node:stream';
import { ENDLESS_HEADS } from '../../src/protocol/endless-message.js';

/**
 * Sends our head and takes the panel's; from then on the socket is HTTP/2's. Rejects when what comes is not that, or the
 * signal is aborted.
 */
export async function exchangeHeads(socket: Duplex, signal: AbortSignal): Promise<void> {
  const sent = new Promise<void>((resolve, reject) => {
    socket.write(ENDLESS_HEADS.agent, (error) => (error ? reject(error) : resolve()));
  });
  // Whoever waits for it hears of it.
  sent.catch(() => {});
  const expected = ENDLESS_HEADS.panel;
  let head: Buffer | null = socket.read(expected.length);
  while (head === null && !socket.readableEnded) {
    await somethingNew(socket, signal);
    head = socket.read(expected.length);
  }
  if (!head?.equals(expected))
    throw new Error('The panel does not begin the data connection as agreed: it is of another version.');
  // Node's HTTP/2 takes the end of any write for one of its own, and ends the process when it has none: with TLS it is late.
  await sent;
}

function somethingNew(socket: Duplex, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (socket.destroyed) throw new Error('The connection has ended.');
  return new Promise<void>((resolve, reject) => {
    const settle = (finish: () => void) => () => {
      socket.off('readable', onReadable);
      socket.off('close', onClose);
      signal.removeEventListener('abort', onAbort);
      finish();
    };
    const onReadable = settle(resolve);
    const onClose = settle(() => reject(new Error('The connection has ended.')));
    const onAbort = settle(() => reject(signal.reason));
    socket.on('readable', onReadable);
    socket.on('close', onClose);
    signal.addEventListener('abort', onAbort);
  });
}
