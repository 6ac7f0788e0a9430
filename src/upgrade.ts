import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Context } from './context.js';
import { createDataPlaneDoor } from './gateway/data-plane/door.js';
import { createAgentDoor } from './gateway/socket.js';
import { AppError } from './lib/errors.js';
import { refuseUpgrade } from './lib/refuse-upgrade.js';
import { DATA_PLANE_PATH } from './protocol/data-plane.js';
import { createClientDoor } from './realtime/socket.js';

export interface Sockets {
  /** Refuses new sockets and closes those there are with 1001. */
  close(): Promise<void>;
}

/** `/ws`: agents say which node they are of, everybody else is a client. `/ws/data`: agents' files. */
export function attachSockets(server: Server, context: Context): Sockets {
  const doors = {
    agents: createAgentDoor(context),
    clients: createClientDoor(context),
    data: createDataPlaneDoor(context),
  };

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
      answerWithoutUpgrade(server, { request, socket, head });
      return;
    }
    socket.on('error', (error) => context.log.debug({ err: error }, 'an upgrading socket failed'));
    try {
      doors[findDoor(request.url ?? '')].handleUpgrade(request, socket, head);
    } catch (error) {
      refuseUpgrade(socket, error, context.log);
    }
  });

  return {
    async close() {
      doors.data.close();
      await Promise.all([doors.agents.close(), doors.clients.close()]);
    },
  };
}

function findDoor(address: string): 'agents' | 'clients' | 'data' {
  if (!URL.canParse(address, 'http://panel')) {
    throw new AppError('request.invalid', 'The address of the request is not valid.');
  }
  const { pathname, searchParams } = new URL(address, 'http://panel');
  if (pathname === DATA_PLANE_PATH) return 'data';
  if (pathname !== '/ws') throw new AppError('request.not_found');
  return searchParams.has('nodeId') ? 'agents' : 'clients';
}

/**
 * Node takes every request with an `Upgrade` header for an upgrade. One to HTTP/2, which curl and Java's client offer
 * with ordinary requests, is to be ignored: the connection begins anew with the same request without the header, for
 * this one answer.
 */
function answerWithoutUpgrade(
  server: Server,
  { request, socket, head }: { request: IncomingMessage; socket: Duplex; head: Buffer },
): void {
  const { method, url, httpVersion, rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`, 'Connection: close'];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (!/^(?:connection|upgrade)$/i.test(name)) lines.push(`${name}: ${rawHeaders[index + 1]}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}
