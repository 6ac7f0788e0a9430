import { type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import { dialDataConnection } from '../../agent/data-plane/dial.js';
import { DATA_PLANE_PATH } from '../../src/protocol/data-plane.js';

export type Answering = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

const DIAL_TIMEOUT_MS = 10_000;

export interface DataAgentAddress {
  port: number;
  nodeId: string;
  token: string;
  scheme?: 'ws' | 'wss';
}

/**
 * The data connection of an agent that answers whatever the test wants; null: not even to pings. Rejects when the panel
 * does not take it.
 */
export async function connectDataAgent(
  { port, nodeId, token, scheme = 'ws' }: DataAgentAddress,
  answering: Answering | null,
) {
  const query = new URLSearchParams({ nodeId, token });
  const address = new URL(`${scheme}://127.0.0.1:${port}${DATA_PLANE_PATH}?${query}`);
  const socket = await dialDataConnection(address, AbortSignal.timeout(DIAL_TIMEOUT_MS));
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  let pings = 0;
  if (answering === null) socket.resume();
  else {
    const session = performServerHandshake(socket);
    session.on('error', () => {});
    session.on('ping', () => {
      pings += 1;
    });
    session.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      answering(stream, headers);
    });
  }
  return { socket, closed, pings: () => pings };
}

/** Answers with JSON. */
export function answerJson(stream: ServerHttp2Stream, value: unknown, status = 200): void {
  stream.respond({ ':status': status });
  stream.end(JSON.stringify(value));
}
