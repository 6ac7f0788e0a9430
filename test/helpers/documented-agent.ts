import { once } from 'node:events';
import { WebSocket } from 'ws';

/** A message as it stands in the documentation: whatever JSON object with a type. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of every shape.
export type Message = { type: string } & Record<string, any>;

const WAIT_MS = 10_000;

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
  const received: Message[] = [];
  const watchers = new Set<() => void>();
  let closed: { code: number; reason: string } | null = null;

  socket.on('message', (data) => {
    received.push(JSON.parse(String(data)));
    for (const watcher of watchers) watcher();
  });
  socket.on('close', (code, reason) => {
    closed = { code, reason: String(reason) };
    for (const watcher of watchers) watcher();
  });
  await once(socket, 'open');
  socket.on('error', () => {});

  /** Waits until `look` finds something, looking again after each message. */
  function until<Found>(what: string, look: () => Found | null | undefined | false): Promise<Found> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        watchers.delete(watch);
        const types = received.map(({ type }) => type).join(', ');
        reject(new Error(`waited for ${what}; closed: ${JSON.stringify(closed)}; received: ${types}`));
      }, WAIT_MS);
      const watch = () => {
        const found = look();
        if (!found) return;
        clearTimeout(timer);
        watchers.delete(watch);
        resolve(found);
      };
      watchers.add(watch);
      watch();
    });
  }

  const agent = {
    socket,
    received,
    send: (message: Message) => socket.send(JSON.stringify(message)),
    sendRaw: (data: string | Buffer) => socket.send(data),
    until,
    /** The next message of a type (that fits), which is then gone. */
    next(type: string, fits: (message: Message) => boolean = () => true): Promise<Message> {
      return until(type, () => {
        const index = received.findIndex((message) => message.type === type && fits(message));
        return index !== -1 && received.splice(index, 1)[0];
      });
    },
    isClosed: () => closed !== null,
    closed: () => until('the end of the connection', () => closed),
    report: (serverId: string, state: string, fields: Record<string, unknown> = {}) =>
      agent.send({ type: 'server_state_update', serverId, state, message: null, ...fields }),
    async disconnect() {
      socket.close();
      await agent.closed();
    },
  };
  if (handshake !== null) agent.send({ type: 'node_handshake', nodeId, token, ...handshake });
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
