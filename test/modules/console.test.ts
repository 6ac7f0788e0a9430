import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { insertServer, numberedOutput, type ServerRow } from '../helpers/console.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';

let panel: PanelWithDoors;
let owner: TestUser;
let stranger: TestUser;
let node: { id: string; secret: string };
let agent: DocumentedAgent;
let server: ServerRow;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser();
  stranger = await panel.createUser();
  node = await panel.createNode();
  agent = await panel.connect({
    nodeId: node.id,
    token: node.secret,
    handshake: { capabilities: ['console-sequence', 'command-results'] },
  });
  await agent.next('node_handshake_response');
});

afterAll(() => panel.close());

beforeEach(async () => {
  server = await insertServer(panel.context.database, { nodeId: node.id, ownerId: owner.id });
});

/** Says lines and waits until they are stored. */
async function say(firstSeq: number, texts: string[], stream = 'stdout'): Promise<void> {
  agent.send({ ...numberedOutput(server.id, firstSeq, texts), stream });
  const seq = firstSeq + texts.length - 1;
  await agent.next('console_ack', (message) => message.serverId === server.id && message.seq === seq);
}

describe('GET /api/servers/:id/logs', () => {
  const logs = (query = '', token?: string) => panel.get(`/api/servers/${server.id}/logs${query}`, token);

  test('without a token 401, for a stranger and for no server the same 404', async () => {
    expect((await logs()).status).toBe(401);
    const foreign = await logs('', stranger.token);
    const missing = await panel.get('/api/servers/nothing/logs', stranger.token);
    expect([foreign.status, missing.status]).toEqual([404, 404]);
    expect({ ...foreign.body, requestId: '' }).toEqual({ ...missing.body, requestId: '' });
  });

  test('who may read the server but not its logs gets 403', async () => {
    const reader = await panel.createUser(['server.read']);
    expect((await logs('', reader.token)).body).toMatchObject({ statusCode: 403, code: 'permission.denied' });
  });

  test.each([
    '?limit=0',
    '?limit=1001',
    '?limit=many',
    '?stream=stdin',
    '?before=yesterday',
    '?before=2026-02-30T00:00:00Z',
  ])('%s is 400', async (query) => {
    expect((await logs(query, owner.token)).status).toBe(400);
  });

  test('gives the newest lines, oldest first, one entry a line', async () => {
    await say(1, ['one', 'two', 'three']);
    await say(4, ['oh no'], 'stderr');
    const { status, body } = await logs('?limit=3', owner.token);
    expect(status).toBe(200);
    expect(body).toEqual({
      success: true,
      data: [
        [2, 'stdout', 'two\n'],
        [3, 'stdout', 'three\n'],
        [4, 'stderr', 'oh no\n'],
      ].map(([seq, stream, data]) => ({
        id: expect.any(String),
        serverId: server.id,
        stream,
        data,
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z$/),
        seq,
      })),
    });
    expect(new Set(body.data.map(({ id }: { id: string }) => id)).size).toBe(3);
  });

  test('filters by stream, and by a time with any number of digits and any zone', async () => {
    await say(1, ['one', 'two', 'three']);
    await say(4, ['oh no'], 'stderr');
    const { body } = await logs('', owner.token);
    const third = body.data[2].timestamp as string;
    const seqs = async (query: string) =>
      (await logs(query, owner.token)).body.data.map(({ seq }: { seq: number }) => seq);
    expect(await seqs('?stream=stderr')).toEqual([4]);
    expect(await seqs('?stream=system')).toEqual([]);
    expect(await seqs(`?before=${third}`)).toEqual([1, 2]);
    expect(await seqs(`?before=${third}&stream=stderr`)).toEqual([]);
    expect(await seqs(`?before=${encodeURIComponent(third.replace('Z', '+00:00'))}&limit=1`)).toEqual([2]);
    expect(await seqs('?before=1969-12-31T23:59:59.999999999Z')).toEqual([]);
    expect(await seqs('?before=0000-01-01T00:00:00Z')).toEqual([]);
    expect(await seqs('?before=9999-12-31T23:59:59Z')).toEqual([1, 2, 3, 4]);
  });
});

describe('POST /api/servers/:id/command', () => {
  const command = (body: unknown, token?: string) =>
    panel.post(`/api/servers/${server.id}/command`, body, token);

  test('without a token 401, for a stranger 404, for who may only read 403', async () => {
    const reader = await panel.createUser(['server.read', 'server.logs.read']);
    expect((await command({ command: 'list' })).status).toBe(401);
    expect((await command({ command: 'list' }, stranger.token)).status).toBe(404);
    expect((await command({ command: 'list' }, reader.token)).status).toBe(403);
  });

  test.each([
    {},
    { command: '' },
    { command: 7 },
    { command: 'x'.repeat(4097) },
    { command: 'one\ntwo' },
    { command: 'one\rtwo' },
    { command: 'nul \0' },
    { command: 'list', extra: true },
  ])('%j is 400', async (body) => {
    expect((await command(body, owner.token)).status).toBe(400);
  });

  test('is handed to the agent as documented', async () => {
    expect(await command({ command: 'say Hello from API!' }, owner.token)).toMatchObject({
      status: 200,
      body: { success: true, message: 'Command sent' },
    });
    expect(await agent.next('execute_command')).toEqual({
      type: 'execute_command',
      serverId: server.id,
      serverUuid: server.uuid,
      command: 'say Hello from API!',
      commandId: expect.any(String),
    });
  });

  test('423 for a suspended server, 409 for one that does not run, 503 when its node is offline', async () => {
    const { prisma } = panel.context.database;
    await prisma.server.update({ where: { id: server.id }, data: { status: 'stopped' } });
    expect((await command({ command: 'list' }, owner.token)).body).toMatchObject({
      statusCode: 409,
      code: 'server.not_running',
    });
    await prisma.server.update({ where: { id: server.id }, data: { suspendedAt: new Date() } });
    expect((await command({ command: 'list' }, owner.token)).body).toMatchObject({
      statusCode: 423,
      code: 'server.suspended',
    });
    server = await insertServer(panel.context.database, { ownerId: owner.id });
    expect((await command({ command: 'list' }, owner.token)).body).toMatchObject({
      statusCode: 503,
      code: 'node.offline',
    });
  });
});
