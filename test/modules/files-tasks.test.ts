import { randomUUID } from 'node:crypto';
import type { ServerHttp2Stream } from 'node:http2';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Capability } from '../../src/protocol/agent-messages.js';
import { type Client, connectClient } from '../helpers/client.js';
import { eventually } from '../helpers/condition.js';
import { connectDataAgent } from '../helpers/data-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

const ENTRY = { name: 'a.zip', kind: 'file', sizeBytes: 10, mode: 0o644, modifiedAtMs: 0 };
const DONE = { kind: 'done', output: { entry: ENTRY, entries: 3 } };
const progress = (doneBytes: number) => ({ kind: 'progress', doneBytes, totalBytes: 100, doneEntries: 1 });

let panel: PanelWithDoors;
let owner: TestUser;
let nodeId: string;
let templateId: string;
let heartbeats: NodeJS.Timeout;
/** What the node has been asked to do, newest last. */
const works: ServerHttp2Stream[] = [];

beforeAll(async () => {
  panel = await startPanelWithDoors();
  const node = await panel.createNode();
  nodeId = node.id;
  const control = await panel.connectAgent(node, { capabilities: [Capability.dataPlane] });
  heartbeats = setInterval(() => control.send({ type: 'heartbeat' }), 1000);
  await connectDataAgent({ port: panel.port, nodeId, token: node.secret }, (stream) => {
    stream.respond({ ':status': 200 });
    works.push(stream);
  });
  owner = await panel.createUser();
  templateId = (await panel.createTemplate()).id;
});

afterEach(() => {
  for (const stream of works.splice(0)) stream.destroy();
});

afterAll(async () => {
  clearInterval(heartbeats);
  await panel.close();
});

const makeServer = () => insertServer(panel, { nodeId, ownerId: owner.id, templateId });
const urlOf = (server: { id: string }) => `/api/servers/${server.id}/files`;
const REQUEST = { paths: ['/world'], archiveName: 'a.zip' };

async function start(server: { id: string }): Promise<string> {
  const answer = await panel.post(`${urlOf(server)}/compress?wait=false`, REQUEST, owner.token);
  expect(answer, answer.text).toMatchObject({ status: 202, body: { success: true } });
  return answer.body.data.taskId;
}

async function find(server: { id: string }, taskId: string) {
  return (await panel.get(`${urlOf(server)}/tasks/${taskId}`, owner.token)).body.data;
}

const cancel = (server: { id: string }, taskId: string, token = owner.token) =>
  panel.delete(`${urlOf(server)}/tasks/${taskId}`, token);

async function nextWork(): Promise<ServerHttp2Stream> {
  const before = works.length;
  return eventually('the node is asked', () => works[Math.max(0, before - 1)]);
}

const say = (stream: ServerHttp2Stream | undefined, line: object) =>
  stream?.write(`${JSON.stringify(line)}\n`);

const tasksTold = (client: Client) =>
  client.received.filter(({ type }) => type === 'file_task').map(({ task }) => task);

test('a task goes on by itself and tells how, also those who subscribe, until it is done', async () => {
  const server = await makeServer();
  const watcher = await connectClient({ port: panel.port, token: owner.token });
  await watcher.subscribe(server.id, { events: ['file_task'] });
  const taskId = await start(server);
  const running = {
    taskId,
    serverId: server.id,
    kind: 'compress',
    state: 'running',
    startedBy: { userId: owner.id, username: owner.username },
    endedAt: null,
    result: null,
    error: null,
  };
  expect(await find(server, taskId)).toMatchObject({
    ...running,
    progress: { doneBytes: 0, totalBytes: null, doneEntries: 0 },
  });
  const work = await nextWork();
  for (let done = 1; done <= 50; done += 1) say(work, progress(done));
  const seen = { doneBytes: 50, totalBytes: 100, doneEntries: 1 };
  await eventually('it is seen', async () => (await find(server, taskId)).progress.doneBytes === 50);
  say(work, DONE);
  const last = await watcher.next('file_task', ({ task }) => task.state === 'done');
  expect(last).toEqual({ type: 'file_task', serverId: server.id, task: await find(server, taskId) });
  expect(last.task).toMatchObject({
    ...running,
    state: 'done',
    progress: seen,
    endedAt: expect.any(String),
    result: { path: '/backups/a.zip', bytes: 10, entries: 3 },
  });
  // Fifty changes at once are one or two messages.
  expect(tasksTold(watcher).length).toBeLessThanOrEqual(3);
  expect((await panel.get(`${urlOf(server)}/tasks`, owner.token)).body.data).toEqual([last.task]);
  await watcher.close();
});

test('only who may read files is told of tasks, and may look at them', async () => {
  const server = await makeServer();
  const other = await panel.createUser(['server.read', 'server.logs.read']);
  const watcher = await connectClient({ port: panel.port, token: other.token });
  const { events } = await watcher.subscribe(server.id);
  expect(events).toEqual(['server_log', 'server_state_update', 'resource_stats']);
  watcher.send({ type: 'subscribe', serverId: server.id, events: ['file_task'] });
  expect(await watcher.next('error')).toMatchObject({ code: 'permission.denied' });
  await watcher.close();
  const taskId = await start(server);
  expect((await panel.get(`${urlOf(server)}/tasks/${taskId}`, other.token)).status).toBe(403);
  expect((await panel.get(`${urlOf(server)}/tasks`, other.token)).status).toBe(403);
});

test('who loses file.read is no longer told of tasks, but of the rest', async () => {
  const server = await makeServer();
  const other = await panel.createUser(['server.read', 'file.read']);
  const watcher = await connectClient({ port: panel.port, token: other.token });
  expect((await watcher.subscribe(server.id)).events).toContain('file_task');
  await panel.context.database.prisma.role.updateMany({
    where: { name: `role of ${other.username}` },
    data: { permissions: ['server.read'] },
  });
  expect(await watcher.next('error')).toMatchObject({ code: 'permission.denied', serverId: server.id });
  const taskId = await start(server);
  say(await nextWork(), DONE);
  await eventually('it is done', async () => (await find(server, taskId)).state === 'done');
  const stats = { cpu: 1, memoryMb: 1, networkSent: 0, networkReceived: 0 };
  panel.context.bus.emit('server.statsReported', { serverId: server.id, ...stats });
  await watcher.next('resource_stats');
  expect(tasksTold(watcher)).toEqual([]);
  await watcher.close();
});

test('who may write the files may cancel a task, which ends on the node', async () => {
  const server = await makeServer();
  const taskId = await start(server);
  const work = await nextWork();
  const reader = await panel.createUser(['server.read', 'file.read']);
  const writer = await panel.createUser(['server.read', 'file.write']);
  expect((await cancel(server, taskId, reader.token)).status).toBe(403);
  expect(await cancel(server, taskId, writer.token)).toMatchObject({
    status: 200,
    body: { data: { state: 'cancelled', error: { code: 'file_task.cancelled' } } },
  });
  await eventually('it has ended', () => work.destroyed);
  // Once more does no harm, and says nothing new.
  expect((await cancel(server, taskId)).body.data.state).toBe('cancelled');
  const where = { serverId: server.id, action: 'file.task_cancel' };
  expect(await panel.context.database.prisma.auditLog.count({ where })).toBe(1);
});

test('a task that fails says why, and so does the answer of one that is waited for', async () => {
  const server = await makeServer();
  const failed = { kind: 'failed', code: 'file.quota_exceeded', message: 'It is full.' };
  const error = { code: 'file.quota_exceeded', message: 'It is full.' };
  const taskId = await start(server);
  say(await nextWork(), failed);
  await eventually('it has failed', async () => (await find(server, taskId)).state === 'failed');
  expect(await find(server, taskId)).toMatchObject({ result: null, error });
  const waiting = panel.post(`${urlOf(server)}/compress`, REQUEST, owner.token);
  say(await eventually('the node is asked', () => works[1]), failed);
  expect(await waiting).toMatchObject({ status: 413, body: error });
});

test('there are eight tasks of a server at most', async () => {
  const server = await makeServer();
  for (let count = 0; count < 8; count += 1) await start(server);
  const ninth = await panel.post(`${urlOf(server)}/compress?wait=false`, REQUEST, owner.token);
  expect(ninth).toMatchObject({ status: 429, body: { code: 'file_task.too_many' } });
  expect((await start(await makeServer())).length).toBeGreaterThan(0);
});

test('what is no task of the server is 404', async () => {
  const server = await makeServer();
  const taskId = await start(server);
  const other = await makeServer();
  for (const [about, id] of [[other, taskId] as const, [server, randomUUID()] as const]) {
    const answer = await panel.get(`${urlOf(about)}/tasks/${id}`, owner.token);
    expect(answer).toMatchObject({ status: 404, body: { code: 'file_task.not_found' } });
  }
});
