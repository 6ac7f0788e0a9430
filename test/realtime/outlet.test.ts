import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { encode } from '../../src/realtime/frames.js';
import { createOutlet, type Outlet } from '../../src/realtime/outlet.js';
import { eventually } from '../helpers/condition.js';

const MAX_BYTES = 256 * 1024;
const MINUTE_MS = 60_000;

let server: Server;
let client: WebSocket;
let outlet: Outlet;
let received: { type: string; state?: string; data?: string }[];

beforeEach(async () => {
  received = [];
  server = createServer();
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const opened = new Promise<Outlet>((resolve) => {
    server.on('upgrade', (request, duplex, head) => {
      sockets.handleUpgrade(request, duplex, head, (webSocket) =>
        resolve(createOutlet({ webSocket, socket: request.socket, maxBytes: () => MAX_BYTES })),
      );
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  client = new WebSocket(`ws://127.0.0.1:${port}`);
  client.on('message', (data) => received.push(JSON.parse(String(data))));
  await once(client, 'open');
  outlet = await opened;
});

afterEach(() => {
  client.terminate();
  server.close();
});

function state(name: 'starting' | 'running'): Buffer {
  return encode({ type: 'server_state_update', serverId: 's', state: name, previousState: 'stopped' });
}

function log(length: number): Buffer {
  const fields = { serverId: 's', stream: 'stdout', timestamp: '', seq: 1, firstSeq: 1 } as const;
  return encode({ type: 'server_log', data: 'ü'.repeat(length), ...fields });
}

/** The client reads no more, and what the kernel holds is full. */
function fill(): void {
  client.pause();
  while (outlet.sendFrames(log(32_000)));
}

test('frames of every size arrive as they were made', async () => {
  const lengths = [0, 10, 11, 60, 32_000, 40_000, 100_000];
  outlet.sendFrames(Buffer.concat(lengths.map(log)));
  outlet.send({ type: 'unsubscribed', serverId: 's' });
  await eventually('the last message', () => received.length === lengths.length + 1);
  expect(received.slice(0, -1).map(({ data }) => data?.length)).toEqual(lengths);
});

test('a client that does not read is not sent more than the limit, and gets the newest state afterwards', async () => {
  fill();
  expect(outlet.sendFrames(log(1))).toBe(false);
  outlet.sendNewest('state', state('starting'));
  outlet.sendNewest('state', state('running'));
  client.resume();
  await outlet.drained();
  expect(outlet.sendFrames(log(1))).toBe(true);
  await eventually('the last message', () => received.at(-1)?.data?.length === 1);
  expect(received.filter(({ type }) => type === 'server_state_update').map(({ state }) => state)).toEqual([
    'running',
  ]);
});

test('a client that takes nothing for a minute has stalled, and one to whom nothing was to be said has not', async () => {
  const now = Date.now();
  expect(outlet.hasStalled(now + 2 * MINUTE_MS)).toBe(false);
  fill();
  expect(outlet.hasStalled(now + 2 * MINUTE_MS + 1000)).toBe(false);
  expect(outlet.hasStalled(now + 3 * MINUTE_MS)).toBe(true);
  client.resume();
  await outlet.drained();
  expect(outlet.hasStalled(now + 3 * MINUTE_MS)).toBe(false);
});

test('whoever waits for room goes on when the client leaves', async () => {
  fill();
  const drained = outlet.drained();
  client.terminate();
  await drained;
  expect(outlet.isOpen()).toBe(false);
});
