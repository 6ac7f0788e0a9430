import { once } from 'node:events';
import { WebSocket } from 'ws';
import { openMailbox } from './mailbox.js';

export interface DocumentedAgentOptions {
  port: number;
  nodeId: string;
  token: string;
  /** Sent instead of the documented handshake; null: none at all. */
  handshake?: Record<string, unknown> | null;
}

export type DocumentedAgent = Awaited<ReturnType<typeof connectDocumentedAgent>>;

/**
 * An agent that knows nothing but the documented messages: no command ids, no numbers on lines, no inventory.
 * Does nothing by itself but the handshake.
 */
export async function connectDocumentedAgent({ port, nodeId, token, handshake }: DocumentedAgentOptions) {
  const query = new URLSearchParams({ nodeId, token });
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?${query}`);
  const mailbox = openMailbox(socket);
  await once(socket, 'open');
  socket.on('error', () => {});

  const agent = {
    ...mailbox,
    socket,
    report: (serverId: string, state: string, fields: Record<string, unknown> = {}) =>
      mailbox.send({ type: 'server_state_update', serverId, state, message: null, ...fields }),
    async disconnect() {
      socket.close();
      await mailbox.closed();
    },
  };
  if (handshake !== null) mailbox.send({ type: 'node_handshake', nodeId, token, ...handshake });
  return agent;
}

/** The HTTP status of the answer to an upgrade that is refused. */
export async function refusedUpgrade(port: number, pathAndQuery: string): Promise<number> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${pathAndQuery}`);
  socket.on('error', () => {});
  return new Promise((resolve, reject) => {
    socket.on('unexpected-response', (request, response) => {
      request.destroy();
      resolve(response.statusCode ?? 0);
    });
    socket.on('open', () => reject(new Error('the connection was accepted')));
  });
}
