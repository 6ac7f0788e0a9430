import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { AppError } from '../../lib/errors.js';
import type { Log } from '../../lib/log.js';
import { WEB_SOCKET_ACCEPTANCE } from '../../protocol/endless-message.js';
import { HANDSHAKE_TIMEOUT_MS } from '../../protocol/limits.js';
import { exchangeHeads } from './heads.js';

/** Sixteen bytes in base64, as RFC 6455 wants them. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;

/** What the request for a WebSocket is agreed to with. Throws `request.invalid` when it is none. */
export function readKey({ method, headers }: IncomingMessage): string {
  const key = headers['sec-websocket-key'];
  if (method === 'GET' && headers['sec-websocket-version'] === '13' && key !== undefined && KEY.test(key))
    return key;
  throw new AppError('request.invalid', 'This is not the request for a WebSocket of version 13.');
}

/**
 * Agrees to a data connection. Answers whether the agent has begun to speak as agreed; from then on the socket is HTTP/2's.
 */
export async function agree(
  { socket }: IncomingMessage,
  { key, head, signal, log }: { key: string; head: Buffer; signal: AbortSignal; log: Log },
): Promise<boolean> {
  const acceptance = createHash('sha1')
    .update(key + WEB_SOCKET_ACCEPTANCE)
    .digest('base64');
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${acceptance}`,
  ];
  socket.setTimeout(0);
  socket.setNoDelay(true);
  if (head.length > 0) socket.unshift(head);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  try {
    const deadline = AbortSignal.timeout(HANDSHAKE_TIMEOUT_MS);
    await exchangeHeads(socket, AbortSignal.any([signal, deadline]));
    return true;
  } catch (error) {
    log.debug({ err: error }, 'an agent did not begin its data connection as agreed');
    return false;
  }
}
