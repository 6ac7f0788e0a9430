import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import { createFileRequests, type FileRequests, type FileServer } from '../helpers/file-requests.js';

const MB = 1024 * 1024;

let panel: PanelWithDoors;
let node: FileNode;
let requests: FileRequests;
let source: Server;
let url: string;
let openAnswers = 0;

beforeAll(async () => {
  panel = await startPanelWithDoors({ settings: { FILE_PULL_MAX_MB: '2' } });
  node = await startFileNode(panel, {}, { pullAllowedNetworks: ['127.0.0.1/32'] });
  const owner = await panel.createUser();
  const { id: templateId } = await panel.createTemplate();
  requests = createFileRequests(panel, { node, owner, templateId });
  source = createServer((request, response) => {
    openAnswers += 1;
    response.once('close', () => {
      openAnswers -= 1;
    });
    if (request.url?.startsWith('/large')) response.end(Buffer.alloc(3 * MB));
    else if (request.url?.startsWith('/slow')) {
      response.writeHead(200, { 'content-length': String(MB) });
      response.write('a part');
    } else response.end('bytes');
  }).listen(0, '127.0.0.1');
  await once(source, 'listening');
  url = `http://127.0.0.1:${(source.address() as AddressInfo).port}`;
});

afterAll(async () => {
  source.closeAllConnections();
  source.close();
  await node.close();
  await panel.close();
});

const pull = (server: FileServer, body: object) => requests.post(server, 'pull', body);

test('a file is fetched under its own name or another, into a directory that is made', async () => {
  const server = await requests.makeServer();
  const named = await pull(server, { url: `${url}/some/plugin.jar?signature=secret`, path: '/plugins' });
  expect(named).toMatchObject({
    status: 200,
    body: {
      success: true,
      data: { path: '/plugins/plugin.jar', name: 'plugin.jar', size: 5, isDirectory: false },
    },
  });
  expect(readFileSync(server.inside('plugins/plugin.jar'), 'utf8')).toBe('bytes');
  const renamed = await pull(server, { url: `${url}/x`, name: 'server.jar' });
  expect(renamed.body.data).toMatchObject({ path: '/server.jar' });
  const rows = await panel.context.database.prisma.auditLog.findMany({ where: { serverId: server.id } });
  expect(rows.map(({ action, metadata }) => [action, (metadata as { url: string }).url]).sort()).toEqual([
    ['file.pull', `${url}/some/plugin.jar`],
    ['file.pull', `${url}/x`],
  ]);
});

test('a file of the same name stays, unless it is to be replaced', async () => {
  const server = await requests.makeServer();
  writeFileSync(server.inside('a'), 'old');
  expect(await pull(server, { url: `${url}/a` })).toMatchObject({
    status: 409,
    body: { code: 'file.exists' },
  });
  expect(readFileSync(server.inside('a'), 'utf8')).toBe('old');
  expect((await pull(server, { url: `${url}/a`, replace: true })).status).toBe(200);
  expect(readFileSync(server.inside('a'), 'utf8')).toBe('bytes');
});

test.each([
  [{ url: 'ftp://example.com/a' }, 400, 'request.invalid'],
  [{ url: 'nothing' }, 400, 'request.invalid'],
  [{ url: 'http://10.0.0.1/a' }, 400, 'url.refused'],
  [{ url: 'http://169.254.169.254/latest' }, 400, 'url.refused'],
  [{ url: 'http://[::1]/a' }, 400, 'url.refused'],
  [{ url: 'http://127.0.0.1:1/a' }, 502, 'url.failed'],
  [{ name: '../a' }, 400, 'file.name_invalid'],
  [{ path: '/../a' }, 400, 'file.outside'],
])('a pull of %j is %i and leaves nothing', async (fields, status, code) => {
  const server = await requests.makeServer();
  const answer = await pull(server, { url: `${url}/a`, path: '/new', ...fields });
  expect(answer).toMatchObject({ status, body: { code } });
  expect(readdirSync(server.directory)).toEqual([]);
});

test('a file that is too large is refused and leaves nothing', async () => {
  const server = await requests.makeServer();
  const answer = await pull(server, { url: `${url}/large` });
  const message = 'The file is larger than may be fetched: 2 MB at most.';
  expect(answer).toMatchObject({ status: 413, body: { code: 'file.too_large', message } });
  expect(readdirSync(server.directory)).toEqual([]);
});

test('a client that hangs up ends it, and nothing is left', async () => {
  const server = await requests.makeServer();
  const headers = { 'content-type': 'application/json' };
  const call = requests.send(server, 'pull', { method: 'POST', headers });
  call.on('error', () => {});
  call.end(JSON.stringify({ url: `${url}/slow`, path: '/' }));
  await eventually('bytes come', () => openAnswers === 1 && readdirSync(server.directory).length > 0);
  call.destroy();
  await eventually('it has ended', () => openAnswers === 0);
  await eventually('nothing is left', () => readdirSync(server.directory).length === 0);
  const { body } = await requests.ask(server, 'tasks');
  expect(body.data).toMatchObject([
    { kind: 'pull', state: 'cancelled', result: null, error: { code: 'file_task.cancelled' } },
  ]);
  expect(existsSync(server.inside('slow'))).toBe(false);
});
