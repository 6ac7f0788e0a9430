import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { WEB_SOCKET_ACCEPTANCE } from '../../src/protocol/endless-message.js';
import { exchangeHeads } from './heads.js';

/** Asks for a data connection. Resolves when the panel has taken it and it is HTTP/2's; aborting the signal before ends it. */
export async function dialDataConnection(address: URL, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const key = randomBytes(16).toString('base64');
  const asking = ask(address, key);
  const giveUp = () => asking.destroy(new Error('It took too long, or is not wanted any more.'));
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    const { response, socket, head } = await upgraded(asking);
    try {
      const acceptance = createHash('sha1')
        .update(key + WEB_SOCKET_ACCEPTANCE)
        .digest('base64');
      if (response.headers['sec-websocket-accept'] !== acceptance)
        throw new Error('What answered is no panel.');
      socket.setNoDelay(true);
      if (head.length > 0) socket.unshift(head);
      await exchangeHeads(socket, signal);
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

function ask(address: URL, key: string): ClientRequest {
  const isSecure = address.protocol === 'wss:';
  const target = new URL(address);
  target.protocol = isSecure ? 'https:' : 'http:';
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': key,
  };
  const asking = (isSecure ? httpsRequest : httpRequest)(target, { agent: false, headers });
  asking.end();
  return asking;
}

interface Upgraded {
  response: IncomingMessage;
  socket: Socket;
  head: Buffer;
}

async function upgraded(asking: ClientRequest): Promise<Upgraded> {
  const refused = once(asking, 'response').then(([response]: IncomingMessage[]) => {
    asking.destroy();
    throw new Error(`The panel answered ${response?.statusCode}.`);
  });
  const taken = once(asking, 'upgrade').then(([response, socket, head]): Upgraded => {
    // What is wrong with it later is said where it is served.
    socket.on('error', () => {});
    return { response, socket, head };
  });
  return await Promise.race([taken, refused]);
}
