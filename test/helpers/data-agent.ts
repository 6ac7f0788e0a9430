import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { createWebSocketStream, WebSocket } from 'ws';
import { DATA_PLANE_PATH } from '../../src/protocol/data-plane.js';

export type Answering = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** The data connection of an agent that answers whatever the test wants. Rejects when the panel does not take it. */
export async function connectDataAgent(
  { port, nodeId, token }: { port: number; nodeId: string; token: string },
  answering: Answering,
) {
  const socket = new WebSocket(
    `ws://127.0.0.1:${port}${DATA_PLANE_PATH}?${new URLSearchParams({ nodeId, token })}`,
  );
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const server = createServer();
  server.on('sessionError', () => {});
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    answering(stream, headers);
  });
  // At once: the panel begins to speak as soon as it has taken the connection.
  socket.once('open', () => {
    socket.on('error', () => {});
    const connection = createWebSocketStream(socket);
    connection.on('error', () => {});
    server.emit('connection', connection);
  });
  await once(socket, 'open');
  return { socket, closed };
}

/** Answers with JSON. */
export function answerJson(stream: ServerHttp2Stream, value: unknown, status = 200): void {
  stream.respond({ ':status': status });
  stream.end(JSON.stringify(value));
}
