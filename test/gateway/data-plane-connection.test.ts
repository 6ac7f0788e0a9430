import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { Capability } from '../../src/protocol/agent-messages.js';
import { DATA_PLANE_PATH } from '../../src/protocol/data-plane.js';
import { eventually } from '../helpers/condition.js';
import {
  type Answering,
  answerJson,
  connectDataAgent,
  type DataAgentAddress,
} from '../helpers/data-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { startTlsProxy } from '../helpers/tls-proxy.js';

const ENTRY = { name: 'a', kind: 'file', sizeBytes: 2 ** 40, mode: 0o644, modifiedAtMs: 0 };
const SERVER = randomUUID();
const PIECE = Buffer.alloc(256 * 1024, 1);
const CUTS = 10;

let panel: PanelWithDoors;

beforeAll(async () => {
  panel = await startPanelWithDoors({ settings: { HEARTBEAT_INTERVAL_MS: '600' } });
});

afterAll(() => panel.close());

async function connectControl() {
  const node = await panel.createNode();
  const control = await panel.connectAgent(node, { capabilities: [Capability.dataPlane] });
  const heartbeats = setInterval(() => control.send({ type: 'heartbeat' }), 200);
  onTestFinished(() => clearInterval(heartbeats));
  return { nodeId: node.id, token: node.secret, port: panel.port };
}

const endless = () =>
  new Readable({
    read() {
      this.push(PIECE);
    },
  });

const answerList = (stream: ServerHttp2Stream) => answerJson(stream, { entries: [], next: null });
const list = (nodeId: string) =>
  panel.context.filePlane.operate(nodeId, SERVER, 'list', { path: '/', limit: 10 });

/** Sends without end what is asked for, and takes without end what is sent. */
const flow: Answering = (stream, headers) => {
  if (headers[':method'] !== 'GET') return void stream.resume();
  const size = String(ENTRY.sizeBytes);
  stream.respond({ ':status': 200, 'content-length': size, 'x-entry': JSON.stringify(ENTRY) });
  endless()
    .on('error', () => {})
    .pipe(stream);
};

/** Node asserts much about connections that end while HTTP/2 writes, and a failed assertion ends the whole process. */
async function cutOften(address: DataAgentAddress, cut: (socket: Socket) => void) {
  const { nodeId } = address;
  const plane = panel.context.filePlane;
  for (let count = 0; count < CUTS; count += 1) {
    const data = await connectDataAgent(address, flow);
    await eventually('it is known', () => plane.isReachable(nodeId));
    const { body } = await plane.download(nodeId, SERVER, { path: 'a' });
    const uploaded = plane.upload(nodeId, SERVER, { path: 'b', replace: true }, endless());
    const outcome = expect(uploaded).rejects.toMatchObject({ code: 'node.offline' });
    await eventually('both flow', () => body.readableLength > 0 && data.socket.bytesRead > PIECE.length);
    const broken = once(body, 'error');
    body.resume();
    cut(data.socket);
    await outcome;
    expect(await broken).toMatchObject([{ code: 'node.offline' }]);
  }
  await connectDataAgent(address, answerList);
  expect(await list(nodeId)).toEqual({ entries: [], next: null });
}

test('a connection that is cut in the middle of transfers, whichever way, ends nothing but them', async () => {
  await cutOften(await connectControl(), (socket) => socket.destroy());
});

test('so it is through a proxy that takes TLS', async () => {
  const proxy = await startTlsProxy({ host: '127.0.0.1', port: panel.port });
  onTestFinished(() => proxy.close());
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  onTestFinished(() => void vi.unstubAllEnvs());
  await cutOften({ ...(await connectControl()), port: proxy.port, scheme: 'wss' }, proxy.cut);
});

test('one on which nothing happens stays', async () => {
  const address = await connectControl();
  const data = await connectDataAgent(address, answerList);
  await eventually('it was asked more often than a silent one would be', () => data.pings() > 5);
  expect(data.socket.destroyed).toBe(false);
  expect(await list(address.nodeId)).toEqual({ entries: [], next: null });
});

/** What the panel answers to the request for a WebSocket; `speak` says what comes then. */
async function shakeHands(
  { nodeId, token, port }: { nodeId: string; token: string; port: number },
  key: string,
  speak: Buffer,
) {
  const socket = connectSocket(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  let answer = '';
  socket.on('data', (bytes: Buffer) => {
    if (answer === '') socket.write(speak);
    answer += bytes.toString('latin1');
  });
  socket.write(
    `GET ${DATA_PLANE_PATH}?${new URLSearchParams({ nodeId, token })} HTTP/1.1\r\nHost: panel\r\n` +
      `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  );
  await once(socket, 'close');
  return answer;
}

test('an agent that does not begin as agreed is sent away', async () => {
  const address = await connectControl();
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  const answer = await shakeHands(address, key, Buffer.alloc(100, 'PRI * HTTP/2.0'));
  // The example of RFC 6455.
  expect(answer).toContain('101 Switching Protocols');
  expect(answer).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  expect(panel.context.filePlane.isReachable(address.nodeId)).toBe(false);
  expect(await shakeHands(address, 'short', Buffer.alloc(0))).toContain(' 400 ');
});
