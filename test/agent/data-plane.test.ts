import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startAgent } from '../../agent/agent.js';
import { eventually } from '../helpers/condition.js';
import { type CuttingProxy, startCuttingProxy } from '../helpers/cutting-proxy.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';
import { agentConfig, configureCommand, makeDataDir, shimCommand } from './harness.js';

const MEGABYTE = 1024 * 1024;
const BIG_BYTES = 64 * MEGABYTE;
const log = pino({ level: 'silent' });

let panel: PanelWithDoors;
let administrator: TestUser;
let proxy: CuttingProxy;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  proxy = await startCuttingProxy({ host: '127.0.0.1', port: panel.port });
  administrator = await panel.createAdministrator();
});

afterAll(async () => {
  await proxy.close();
  await panel.close();
});

/** A node with a real agent in this process, and an installed server on it. */
async function setStage() {
  const node = await panel.createNode();
  const dataDir = makeDataDir();
  const config = {
    ...agentConfig({ url: `http://127.0.0.1:${proxy.port}` }, dataDir),
    nodeId: node.id,
    nodeToken: node.secret,
  };
  const timings = { redialMinMs: 20, redialMaxMs: 100 };
  const agent = await startAgent({ config, shimCommand, configureCommand, log, timings });
  onTestFinished(() => agent.stop());
  await eventually('the agent is there', () => panel.context.agents.isConnected(node.id));
  const template = await panel.createTemplate({
    startCommand: ['sh', '-c', 'echo ready; cat'],
    startupDetection: 'ready',
  });
  const created = await panel.post(
    '/api/servers',
    {
      name: 'a server',
      templateId: template.id,
      nodeId: node.id,
      allocatedMemoryMb: 128,
      allocatedCpuCores: 1,
      allocatedDiskMb: 1000,
      primaryPort: 25_565,
    },
    administrator.token,
  );
  const { id, uuid } = created.body.data as { id: string; uuid: string };
  const row = () => panel.context.database.prisma.server.findUniqueOrThrow({ where: { id } });
  const act = async (action: string) => {
    const answer = await panel.post(`/api/servers/${id}/${action}`, undefined, administrator.token);
    expect(answer.status, answer.text).toBe(200);
  };
  await act('install');
  await eventually('it is installed', async () => (await row()).installedAt);
  const directory = join(dataDir, 'servers', uuid);
  return { nodeId: node.id, uuid, directory, plane: panel.context.filePlane };
}

const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

test('operations, uploads, downloads and handles reach the files of a server', async () => {
  const { nodeId, uuid, directory, plane } = await setStage();
  await plane.operate(nodeId, uuid, 'make-directory', { path: '/world', parents: false });
  const bytes = randomBytes(3 * MEGABYTE + 17);
  const path = '/world/région 😀.dat';
  const uploaded = await plane.upload(nodeId, uuid, { path, replace: false }, Readable.from([bytes]));
  expect(uploaded).toMatchObject({ name: 'région 😀.dat', kind: 'file', sizeBytes: bytes.length });
  expect(readFileSync(join(directory, path)).equals(bytes)).toBe(true);
  const whole = await plane.download(nodeId, uuid, { path });
  expect(whole.entry).toMatchObject({ name: 'région 😀.dat', sizeBytes: bytes.length });
  expect(hashOf(await buffer(whole.body))).toBe(hashOf(bytes));
  const part = await plane.download(nodeId, uuid, { path, offset: 5, length: 100 });
  expect((await buffer(part.body)).equals(bytes.subarray(5, 105))).toBe(true);
  const listed = await plane.operate(nodeId, uuid, 'list', { path: '/world', limit: 100 });
  expect(listed.entries.map(({ name }) => name)).toEqual(['région 😀.dat']);

  const flags = { read: true, write: true, append: false, create: true, exclusive: false, truncate: false };
  const { handle } = await plane.operate(nodeId, uuid, 'open', { path: '/notes', ...flags });
  const file = plane.handle(nodeId, handle);
  await file.write(0, Buffer.from('hello world'));
  expect(String(await file.read(6, 100))).toBe('world');
  expect(String(await buffer(await file.readStream(0)))).toBe('hello world');
  await file.operate('close', {});
  expect(readFileSync(join(directory, 'notes'), 'utf8')).toBe('hello world');
});

test('what cannot be done has the code of the reason', async () => {
  const { nodeId, uuid, plane } = await setStage();
  const upload = (path: string) =>
    plane.upload(nodeId, uuid, { path, replace: false }, Readable.from([Buffer.from('x')]));
  await upload('/a');
  const stat = (server: string, path: string) =>
    plane.operate(nodeId, server, 'stat', { path, followLinks: true });
  await expect(stat(uuid, '/none')).rejects.toMatchObject({ code: 'file.not_found', statusCode: 404 });
  await expect(stat(uuid, '/../../etc/passwd')).rejects.toMatchObject({ code: 'file.outside' });
  await expect(stat(randomUUID(), '/a')).rejects.toMatchObject({ code: 'server.not_installed' });
  await expect(upload('/a')).rejects.toMatchObject({ code: 'file.exists', statusCode: 409 });
  const download = plane.download(nodeId, uuid, { path: '/none' });
  await expect(download).rejects.toMatchObject({ code: 'file.not_found' });
  const tooBig = plane.upload(
    nodeId,
    uuid,
    { path: '/b', replace: false, sizeBytes: 2e9 },
    Readable.from([]),
  );
  await expect(tooBig).rejects.toMatchObject({ code: 'file.quota_exceeded' });
  // Nothing of all that is still counted.
  for (let count = 0; count < 40; count += 1) {
    await expect(upload('/a')).rejects.toMatchObject({ code: 'file.exists' });
  }
});

function endless(): Readable {
  return Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(64 * 1024);
    })(),
  );
}

test('an upload that is cut off leaves nothing, however it is cut', async () => {
  const { nodeId, uuid, directory, plane } = await setStage();
  const cuts: [string, (source: Readable, giveUp: AbortController) => void][] = [
    ['the source fails', (source) => source.destroy(new Error('hung up'))],
    ['the source closes', (source) => source.destroy()],
    ['it is called off', (_source, giveUp) => giveUp.abort(new Error('enough'))],
    [
      'the connection breaks',
      () => {
        proxy.cut();
        proxy.restore();
      },
    ],
  ];
  for (const [how, cut] of cuts) {
    await eventually('the data connection is up', () => plane.isReachable(nodeId));
    const giveUp = new AbortController();
    const source = endless();
    const path = '/half';
    const uploaded = plane.upload(nodeId, uuid, { path, replace: true }, source, { signal: giveUp.signal });
    const outcome = uploaded.then(
      () => 'done',
      () => 'refused',
    );
    await eventually('some of it is there', () => readdirSync(directory).length > 0);
    cut(source, giveUp);
    expect(await outcome, how).toBe('refused');
    await eventually(`nothing is left when ${how}`, () => readdirSync(directory).length === 0);
  }
  const known = plane.upload(
    nodeId,
    uuid,
    { path: '/short', replace: true, sizeBytes: 10 },
    Readable.from(['123']),
  );
  await expect(known).rejects.toThrow();
  expect(existsSync(join(directory, 'short'))).toBe(false);
});

test('a download whose connection breaks ends with node.offline, and the next one works', async () => {
  const { nodeId, uuid, directory, plane } = await setStage();
  writeFileSync(join(directory, 'big'), Buffer.alloc(BIG_BYTES, 7));
  const { body } = await plane.download(nodeId, uuid, { path: '/big' });
  await eventually('it flows', () => body.readableLength > 0);
  proxy.cut();
  proxy.restore();
  await expect(buffer(body)).rejects.toMatchObject({ code: 'node.offline' });
  await eventually('the agent is back', () => plane.isReachable(nodeId));
  const again = await plane.download(nodeId, uuid, { path: '/big' });
  expect((await buffer(again.body)).length).toBe(BIG_BYTES);
});

test('a reader who takes nothing makes the node wait, not the panel store', async () => {
  const { nodeId, uuid, directory, plane } = await setStage();
  writeFileSync(join(directory, 'big'), Buffer.alloc(4 * BIG_BYTES, 7));
  const before = process.memoryUsage();
  const { body } = await plane.download(nodeId, uuid, { path: '/big' });
  // Other work goes on beside it, for as long as it would have taken to fetch it all.
  for (let count = 0; count < 200; count += 1) {
    await plane.operate(nodeId, uuid, 'stat', { path: '/big', followLinks: false });
  }
  const { arrayBuffers } = process.memoryUsage();
  expect(arrayBuffers - before.arrayBuffers).toBeLessThan(40 * MEGABYTE);
  body.destroy();
});
