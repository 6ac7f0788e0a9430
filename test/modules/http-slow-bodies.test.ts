import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildApp } from '../../src/app.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

const BODY_TIMEOUT_MS = 700;

const lines: string[] = [];
let panel: PanelWithDoors;
let node: FileNode;
let owner: TestUser;
let port: number;
let app: Awaited<ReturnType<typeof buildApp>>;

beforeAll(async () => {
  panel = await startPanelWithDoors({ log: { level: 'warn', write: (line) => void lines.push(line) } });
  node = await startFileNode(panel);
  owner = await panel.createUser();
  // The same panel, only less patient.
  app = await buildApp(panel.context, { bodyTimeoutMs: BODY_TIMEOUT_MS });
  port = Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port);
});

afterAll(async () => {
  await node.close();
  await app.close();
  await panel.close();
});

/** Sends a request whose body comes in drips, until the panel has had enough. Answers what it said, and when it was over. */
async function drip(head: string): Promise<{ said: string; tookMs: number }> {
  const startedAtMs = Date.now();
  const socket = connect(port, '127.0.0.1');
  // Whoever still sends when the panel closes is reset, which is no news here.
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  let said = '';
  socket.on('data', (chunk) => {
    said += chunk;
  });
  await once(socket, 'connect');
  socket.write(`${head}\r\nHost: panel\r\nContent-Length: 100000\r\n\r\n`);
  const drips = setInterval(() => socket.write('{'), 50);
  await closed;
  clearInterval(drips);
  return { said, tookMs: Date.now() - startedAtMs };
}

const json = 'Content-Type: application/json';
const form = 'Content-Type: multipart/form-data; boundary=x';

test.each([
  ['to a JSON route', () => `POST /api/auth/login HTTP/1.1\r\n${json}`, 408],
  ['to a JSON route that says it is a form', () => `POST /api/auth/login HTTP/1.1\r\n${form}`, 415],
  ['to no route', () => `POST /nothing HTTP/1.1\r\n${json}`, 408],
  ['by who is not signed in', () => `POST /api/servers/x/files/upload HTTP/1.1\r\n${form}`, 401],
  ['to an API', () => `PATCH /api/auth/me HTTP/1.1\r\n${json}\r\nAuthorization: Bearer ${owner.token}`, 408],
])('a body in drips %s is cut off', async (_where, head, status) => {
  const { said, tookMs } = await drip(head());
  expect(said).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  if (status === 408) expect(said).toContain('"code":"request.timeout"');
  expect(tookMs).toBeLessThan(BODY_TIMEOUT_MS * 5);
});

test('a part of an upload may come in drips', async () => {
  const server = await insertServer(panel, { nodeId: node.id, ownerId: owner.id });
  await node.install(server);
  const url = `/api/servers/${server.id}/files/uploads`;
  const sizeBytes = (4 * BODY_TIMEOUT_MS) / 100;
  const begun = await panel.post(url, { path: '/slow.txt', sizeBytes }, owner.token);
  const call = request({
    port,
    method: 'PATCH',
    path: `${url}/${begun.body.data.uploadId}?offset=0`,
    headers: {
      authorization: `Bearer ${owner.token}`,
      'content-type': 'application/octet-stream',
      'content-length': sizeBytes,
    },
  });
  const answered = once(call, 'response');
  for (let sent = 0; sent < sizeBytes; sent += 1) {
    call.write('x');
    await delay(50);
  }
  call.end();
  const [answer] = (await answered) as [IncomingMessage];
  expect([answer.statusCode, answer.headers['upload-offset']]).toEqual([200, String(sizeBytes)]);
});

test('nobody is called to look at the log for it', () => {
  expect(lines).toEqual([]);
});
