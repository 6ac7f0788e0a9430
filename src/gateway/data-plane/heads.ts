import type { Duplex } from 'node:stream';
import { ENDLESS_HEADS } from '../../protocol/endless-message.js';

/**
 * Sends our head and takes the agent's; from then on the socket is HTTP/2's. Rejects when what comes is not that, or the
 * signal is aborted.
 */
export async function exchangeHeads(socket: Duplex, signal: AbortSignal): Promise<void> {
  const sent = new Promise<void>((resolve, reject) => {
    socket.write(ENDLESS_HEADS.panel, (error) => (error ? reject(error) : resolve()));
  });
  // Whoever waits for it hears of it.
  sent.catch(() => {});
  const expected = ENDLESS_HEADS.agent;
  const head = await readHead(socket, expected.length, signal);
  if (!head.equals(expected))
    throw new Error('The agent does not begin the data connection as agreed: it is of another version.');
  // Node's HTTP/2 takes the end of any write for one of its own, and ends the process when it has none: with TLS it is late.
  await sent;
}

/**
 * Listens once for all of it: whoever begins to listen for what is readable while a part is there is called at once, and
 * beginning anew each time would be all that this process ever does.
 */
function readHead(socket: Duplex, length: number, signal: AbortSignal): Promise<Buffer> {
  return new Promise<Buffer>((resolve, reject) => {
    const settle = (finish: () => void) => {
      socket.off('readable', look);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      signal.removeEventListener('abort', onAbort);
      finish();
    };
    const look = () => {
      const head: Buffer | null = socket.read(length);
      if (head !== null) settle(() => resolve(head));
    };
    const onEnd = () => settle(() => reject(new Error('The connection has ended.')));
    const onAbort = () => settle(() => reject(signal.reason));
    socket.on('readable', look);
    socket.on('end', onEnd);
    socket.on('close', onEnd);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    else if (socket.destroyed || socket.readableEnded) onEnd();
    else look();
  });
}
