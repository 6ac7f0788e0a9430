import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Context } from './context.js';
import { createAgentDoor } from './gateway/socket.js';
import { AppError } from './lib/errors.js';
import { refuseUpgrade } from './lib/refuse-upgrade.js';
import { createClientDoor } from './realtime/socket.js';
import { subscribe } from './subscribers.js';

export interface Sockets {
  /** Refuses new sockets and closes those there are with 1001. */
  close(): Promise<void>;
}

/** `/ws`: agents say which node they are of, everybody else is a client. */
export function attachSockets(server: Server, context: Context): Sockets {
  const agents = createAgentDoor(context);
  const clients = createClientDoor(context);
  subscribe(context, { agents });

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', (error) => context.log.debug({ err: error }, 'an upgrading socket failed'));
    try {
      const door = findDoor(request.url ?? '') === 'agents' ? agents : clients;
      door.handleUpgrade(request, socket, head);
    } catch (error) {
      refuseUpgrade(socket, error, context.log);
    }
  });

  return {
    async close() {
      await Promise.all([agents.close(), clients.close()]);
    },
  };
}

function findDoor(address: string): 'agents' | 'clients' {
  if (!URL.canParse(address, 'http://panel')) {
    throw new AppError('request.invalid', 'The address of the request is not valid.');
  }
  const { pathname, searchParams } = new URL(address, 'http://panel');
  if (pathname !== '/ws') throw new AppError('request.not_found');
  return searchParams.has('nodeId') ? 'agents' : 'clients';
}
