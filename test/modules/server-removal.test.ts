import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serverAudit } from '../helpers/audit.js';
import { eventually } from '../helpers/condition.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer, storedServer } from '../helpers/servers.js';

const CAPABLE = { capabilities: ['command-results', 'inventory', 'crash-policy'], runtime: 'docker' };
const WAITING = 'The node is offline: the server is deleted as soon as it is back';

let panel: PanelWithDoors;
let owner: TestUser;
let operator: TestUser;
let templateId: string;
let node: { id: string; secret: string };
let agent: DocumentedAgent;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser();
  operator = await panel.createUser(['server.delete', 'server.read']);
  templateId = (await panel.createTemplate()).id;
  node = await newNode();
  agent = await connect(node);
});

afterAll(() => panel.close());

function newNode() {
  return panel.createNode({ maxCpuCores: 1000 });
}

function connect(made: { id: string; secret: string }): Promise<DocumentedAgent> {
  return panel.connectAgent(made, CAPABLE);
}

function server(fields: Record<string, unknown> = {}) {
  return insertServer(panel, { nodeId: node.id, ownerId: owner.id, templateId, ...fields });
}

function remove(id: string, query = '', token = owner.token) {
  return panel.delete(`/api/servers/${id}${query}`, token);
}

function find(id: string) {
  return panel.context.database.prisma.server.findUnique({ where: { id } });
}

function tombstone(serverId: string) {
  return panel.context.database.prisma.removedServer.findUnique({ where: { serverId } });
}

function inventory(from: DocumentedAgent, servers: { id: string; uuid: string }[], state = 'stopped'): void {
  from.send({
    type: 'inventory',
    servers: servers.map(({ id, uuid }) => ({ serverId: id, serverUuid: uuid, state })),
  });
}

function inSeconds(seconds: number): Date {
  return new Date(Date.now() + seconds * 1000);
}

async function confirm(from: DocumentedAgent, id: string): Promise<void> {
  const order = await from.next('delete_server', ({ serverId }) => serverId === id);
  from.send({ type: 'command_result', commandId: order.commandId, ok: true });
}

test('a deletion that is done is in the audit log, one that the agent refuses is not', async () => {
  const { id } = await server();
  const refused = remove(id);
  const { commandId } = await agent.next('delete_server', ({ serverId }) => serverId === id);
  agent.send({ type: 'command_result', commandId, ok: false, message: 'the disk is read-only' });
  expect(await refused).toMatchObject({ status: 409, body: { code: 'agent.rejected' } });
  expect(await serverAudit(panel, id)).toEqual([]);
  const done = remove(id);
  await confirm(agent, id);
  expect(await done).toMatchObject({
    status: 200,
    body: { success: true, message: 'Server deleted successfully' },
  });
  const entries = await serverAudit(panel, id);
  expect(entries).toMatchObject([
    { action: 'server.delete', userId: owner.id, metadata: { serverName: 'a server' } },
  ]);
});

test('of many deletions at once, on two panels, exactly one is done', async () => {
  const other = await startPanel({ database: panel.database });
  const away = await newNode();
  const { id } = await server({ nodeId: away.id, installedAt: null });
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      (index % 2 ? panel : other).delete(`/api/servers/${id}`, owner.token),
    ),
  );
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(answers.filter(({ status }) => status === 404 || status === 409)).toHaveLength(7);
  expect(await find(id)).toBeNull();
  expect(await serverAudit(panel, id)).toHaveLength(1);
  await other.close();
});

test("a server's databases are about to be dropped when it is gone", async () => {
  const { prisma } = panel.context.database;
  const host = await prisma.databaseHost.create({
    data: {
      name: 'a host',
      engine: 'mysql',
      host: '127.0.0.1',
      port: 9,
      username: 'root',
      passwordEncrypted: 'x',
    },
  });
  const { id } = await server();
  const database = await prisma.serverDatabase.create({
    data: {
      serverId: id,
      hostId: host.id,
      name: 's1_game',
      username: 'u1',
      passwordEncrypted: 'x',
      maxConnections: 5,
      state: 'ready',
    },
  });
  const answer = remove(id);
  await confirm(agent, id);
  expect((await answer).status).toBe(200);
  const row = await prisma.serverDatabase.findUnique({ where: { id: database.id } });
  // Unless it has been dropped already.
  if (row) expect(row).toMatchObject({ serverId: null, state: 'deleting' });
  expect(await serverAudit(panel, id)).toMatchObject([
    { action: 'server.delete', metadata: { databases: ['s1_game'] } },
  ]);
});

describe('while the node is away', () => {
  test('the deletion waits, and is carried out when the node is back', async () => {
    const away = await newNode();
    const made = await server({ nodeId: away.id });
    const deleted: string[] = [];
    panel.context.bus.on('server.deleted', ({ serverId }) => deleted.push(serverId));
    expect(await remove(made.id)).toMatchObject({ status: 200, body: { success: true, message: WAITING } });
    expect(deleted).not.toContain(made.id);
    for (const [method, path, body] of [
      ['POST', '/start', undefined],
      ['POST', '/kill', undefined],
      ['PUT', '', { name: 'still' }],
      ['DELETE', '', undefined],
    ] as const) {
      const answer = await panel.call(method, `/api/servers/${made.id}${path}`, body, owner.token);
      expect(answer).toMatchObject({ status: 409, body: { code: 'server.being_deleted' } });
    }
    const back = await connect(away);
    inventory(back, [made]);
    await confirm(back, made.id);
    await eventually('the server is gone', async () => (await find(made.id)) === null);
    await eventually('that was told', () => deleted.includes(made.id));
    expect(await serverAudit(panel, made.id)).toMatchObject([
      { action: 'server.delete', userId: owner.id, metadata: { whenNodeIsBack: true } },
      { action: 'server.delete', userId: null },
    ]);
    expect(await tombstone(made.id)).toBeNull();
  });

  test('a server that ran when its node left is 409', async () => {
    const away = await newNode();
    const { id } = await server({ nodeId: away.id, status: 'running' });
    expect(await remove(id)).toMatchObject({
      status: 409,
      body: { code: 'server.not_stopped', message: expect.stringContaining('?force=true') },
    });
    expect(await storedServer(panel, id)).toMatchObject({ deletionRequestedAt: null });
    expect(await serverAudit(panel, id)).toEqual([]);
  });

  test('a server that runs when its node is back is stopped first', async () => {
    const away = await newNode();
    const made = await server({ nodeId: away.id });
    await remove(made.id);
    const back = await connect(away);
    inventory(back, [made], 'running');
    await back.next('stop_server', ({ serverId }) => serverId === made.id);
    back.report(made.id, 'stopped');
    back.send({ type: 'are_you_done' });
    await back.next('error');
    await panel.context.servers.removeRequested(new Date());
    await confirm(back, made.id);
    await eventually('the server is gone', async () => (await find(made.id)) === null);
  });

  test('a node that is connected to another panel is asked by that one within two seconds', async () => {
    const other = await startPanel({ database: panel.database });
    const made = await newNode();
    const elsewhere = await connect(made);
    const running = await server({ nodeId: made.id, status: 'running', desiredState: 'running' });
    expect(await other.delete(`/api/servers/${running.id}`, operator.token)).toMatchObject({
      status: 409,
      body: { code: 'server.not_stopped', message: 'Stop the server first.' },
    });
    const removed = await server({ nodeId: made.id });
    const startedAt = performance.now();
    expect(await other.delete(`/api/servers/${removed.id}`, operator.token)).toMatchObject({
      status: 200,
      body: { message: 'The panel that the node is connected to is deleting the server' },
    });
    await other.close();
    await confirm(elsewhere, removed.id);
    await eventually('the server is gone', async () => (await find(removed.id)) === null);
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });

  test('an agent that refuses, or leaves in the middle, is asked again later', async () => {
    const away = await newNode();
    const made = await server({ nodeId: away.id });
    await remove(made.id);
    const first = await connect(away);
    inventory(first, [made]);
    await first.next('delete_server');
    first.socket.terminate();
    await eventually('the server is free again', async () => !(await find(made.id))?.activeAction);
    const second = await connect(away);
    inventory(second, [made]);
    const { commandId } = await second.next('delete_server');
    second.send({ type: 'command_result', commandId, ok: false, message: 'the disk is read-only' });
    second.send({ type: 'are_you_done' });
    await second.next('error');
    // Not at once: only when the hold on the server has ended.
    await panel.context.servers.removeRequested(new Date());
    expect(second.received).toEqual([]);
    await panel.context.database.prisma.server.update({
      where: { id: made.id },
      data: { activeActionExpiresAt: new Date(Date.now() - 1) },
    });
    await panel.context.servers.removeRequested(new Date());
    await confirm(second, made.id);
    await eventually('the server is gone', async () => (await find(made.id)) === null);
  });
});

describe('by force', () => {
  test.each(['?force=1', '?force=', '?force=yes', '?force=true&force=true', '?forced=true'])(
    '%s is 400',
    async (query) => {
      const { id } = await server();
      expect((await remove(id, query, operator.token)).status).toBe(400);
      expect(await find(id)).not.toBeNull();
    },
  );

  test('an owner may not, a role that deletes every server may', async () => {
    const away = await newNode();
    const made = await server({ nodeId: away.id, status: 'running' });
    expect(await remove(made.id, '?force=true')).toMatchObject({
      status: 403,
      body: { code: 'permission.denied' },
    });
    expect(await remove(made.id, '?force=true', operator.token)).toMatchObject({
      status: 200,
      body: { success: true, message: 'Server deleted successfully' },
    });
    expect(await find(made.id)).toBeNull();
    expect(await serverAudit(panel, made.id)).toMatchObject([
      { action: 'server.delete', userId: operator.id, metadata: { isForced: true } },
    ]);
  });

  test('what its node still has goes when the node is back, its ports are free at once', async () => {
    const away = await newNode();
    const made = await server({ nodeId: away.id, status: 'running' });
    const { prisma } = panel.context.database;
    const port = { nodeId: away.id, hostPort: 30_000, containerPort: 25_565 };
    await prisma.allocation.create({ data: { ...port, serverId: made.id } });
    expect((await remove(made.id, '?force=true', operator.token)).status).toBe(200);
    expect(await prisma.allocation.count({ where: { nodeId: away.id } })).toBe(0);
    const stranger = { id: 'somebodyelses', uuid: '00000000-0000-4000-8000-000000000000' };
    const back = await connect(away);
    inventory(back, [made, stranger], 'running');
    await confirm(back, made.id);
    await eventually('it is forgotten', async () => (await tombstone(made.id)) === null);
    expect(back.received).toEqual([]);
  });

  test('an agent that is there is asked at once, and again at its next handshake when it refuses', async () => {
    const made = await newNode();
    const first = await connect(made);
    const removed = await server({ nodeId: made.id, status: 'running' });
    expect((await remove(removed.id, '?force=true', operator.token)).status).toBe(200);
    const { commandId, serverUuid } = await first.next('delete_server');
    expect(serverUuid).toBe(removed.uuid);
    first.send({ type: 'command_result', commandId, ok: false, message: 'busy' });
    await first.disconnect();
    expect(await tombstone(removed.id)).toMatchObject({ nodeId: made.id, serverUuid: removed.uuid });
    const second = await connect(made);
    inventory(second, [removed]);
    await confirm(second, removed.id);
    await eventually('it is forgotten', async () => (await tombstone(removed.id)) === null);
  });

  test('an agent that is connected to another panel is asked by that one', async () => {
    const other = await startPanel({ database: panel.database });
    const made = await newNode();
    const elsewhere = await connect(made);
    await panel.context.servers.clearRemaining(new Date());
    const removed = await server({ nodeId: made.id, status: 'running' });
    expect((await other.delete(`/api/servers/${removed.id}?force=true`, operator.token)).status).toBe(200);
    await other.close();
    await panel.context.servers.clearRemaining(inSeconds(15));
    const { commandId } = await elsewhere.next('delete_server');
    elsewhere.send({ type: 'command_result', commandId, ok: false, message: 'busy' });
    // Who refused is asked again, but not at once.
    await panel.context.servers.clearRemaining(inSeconds(30));
    elsewhere.send({ type: 'are_you_done' });
    await elsewhere.next('error');
    expect(elsewhere.received).toEqual([]);
    await panel.context.servers.clearRemaining(inSeconds(120));
    await confirm(elsewhere, removed.id);
    await eventually('it is forgotten', async () => (await tombstone(removed.id)) === null);
  });

  test('an agent that speaks only what is documented is told once to stop it', async () => {
    const made = await newNode();
    const documented = await panel.connectAgent(made);
    const removed = await server({ nodeId: made.id, status: 'running' });
    expect((await remove(removed.id, '?force=true', operator.token)).status).toBe(200);
    expect(await documented.next('stop_server')).toEqual({
      type: 'stop_server',
      serverId: removed.id,
      serverUuid: removed.uuid,
      suspended: false,
    });
    await panel.context.servers.clearRemaining(new Date());
    await panel.context.servers.clearRemaining(inSeconds(300));
    documented.send({ type: 'are_you_done' });
    await documented.next('error');
    expect(documented.received).toEqual([]);
  });

  test('what the node does not list any more is forgotten', async () => {
    const away = await newNode();
    const { prisma } = panel.context.database;
    const createdAt = new Date(Date.now() - 3_600_000);
    const serverUuid = '00000000-0000-4000-8000-000000000001';
    await prisma.removedServer.create({
      data: { serverId: 'longgone', serverUuid, nodeId: away.id, createdAt },
    });
    const back = await connect(away);
    inventory(back, []);
    await eventually('it is forgotten', async () => (await tombstone('longgone')) === null);
    expect(back.received).toEqual([]);
  });

  test('a deletion that waits for its node need not wait any longer', async () => {
    const away = await newNode();
    const { id } = await server({ nodeId: away.id });
    await remove(id);
    expect((await remove(id, '?force=true', operator.token)).status).toBe(200);
    expect(await find(id)).toBeNull();
    expect(await tombstone(id)).not.toBeNull();
  });

  test('what was never on its node leaves nothing to clear', async () => {
    const away = await newNode();
    const { id } = await server({ nodeId: away.id, installedAt: null });
    expect((await remove(id, '?force=true', operator.token)).status).toBe(200);
    expect(await tombstone(id)).toBeNull();
  });
});
