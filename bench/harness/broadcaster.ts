import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { AGENT_FRAME_MAX_BYTES } from '../../src/protocol/limits.js';

export type BroadcasterRole = ReturnType<typeof createBroadcasterRole>;

/**
 * The baseline: what it costs to hand an agent's lines to subscribers with `ws` and nothing else. It knows
 * no users, checks nothing, stores nothing, and acknowledges each batch as soon as it has been handed on.
 */
export function createBroadcasterRole() {
  const subscribers = new Set<WebSocket>();
  let lastSeq = 0;

  function receiveFromAgent(agent: WebSocket, text: string): void {
    const message = JSON.parse(text);
    if (message.type === 'node_handshake') {
      agent.send(JSON.stringify({ type: 'node_handshake_response', nodeId: message.nodeId, console: [] }));
      lastSeq = 0;
    }
    if (message.type !== 'console_output') return;
    const { serverId, stream, data, seq, firstSeq, timestamp } = message;
    const log = JSON.stringify({ type: 'server_log', serverId, stream, data, timestamp, seq, firstSeq });
    const bytes = Buffer.from(log);
    for (const subscriber of subscribers) {
      if (subscriber.readyState === WebSocket.OPEN) subscriber.send(bytes, { binary: false });
    }
    lastSeq = seq;
    agent.send(JSON.stringify({ type: 'console_ack', serverId, seq }));
  }

  function receiveFromClient(client: WebSocket, text: string): void {
    const { type, serverId } = JSON.parse(text);
    if (type !== 'subscribe') return;
    subscribers.add(client);
    client.on('close', () => subscribers.delete(client));
    client.send(JSON.stringify({ type: 'subscribed', serverId, seq: lastSeq }));
  }

  return {
    /** @returns the address for agents and subscribers alike. */
    async listen(): Promise<string> {
      const server = new WebSocketServer({
        host: '127.0.0.1',
        port: 0,
        perMessageDeflate: false,
        maxPayload: AGENT_FRAME_MAX_BYTES,
      });
      server.on('connection', (socket, request) => {
        const receive = request.url?.includes('nodeId=') ? receiveFromAgent : receiveFromClient;
        socket.on('message', (data) => receive(socket, String(data)));
      });
      await once(server, 'listening');
      return `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`;
    },
  };
}
