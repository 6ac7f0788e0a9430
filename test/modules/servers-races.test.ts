import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { createOnlineNode } from '../helpers/nodes.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer, storedServer } from '../helpers/servers.js';

const CAPABLE = { capabilities: ['command-results', 'crash-policy'], runtime: 'docker' };

let panel: PanelWithDoors;
let administrator: TestUser;
let owner: TestUser;
let templateId: string;
let node: { id: string; secret: string };
let agent: DocumentedAgent;
/** Somebody else in the database, who is in the way for as long as a test wants. */
let somebody: pg.Client;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  administrator = await panel.createAdministrator();
  owner = await panel.createUser();
  templateId = (await panel.createTemplate()).id;
  node = await panel.createNode({ maxCpuCores: 1000 });
  agent = await panel.connectAgent(node, CAPABLE);
  somebody = new pg.Client(panel.database.url);
  await somebody.connect();
});

afterAll(async () => {
  await somebody.end();
  await panel.close();
});

function server(fields: Record<string, unknown> = {}) {
  return insertServer(panel, { nodeId: node.id, ownerId: owner.id, templateId, ...fields });
}

async function queued(count: number): Promise<void> {
  await eventually(`${count} wait for a lock`, async () => {
    const { rows } = await panel.context.database.pool.query<{ waiting: number }>(
      `SELECT count(*)::int AS "waiting" FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    return rows[0]?.waiting === count;
  });
}

async function holdServer(id: string): Promise<void> {
  await somebody.query('BEGIN');
  await somebody.query('SELECT FROM "Server" WHERE "id" = $1 FOR UPDATE', [id]);
}

test('a member who becomes the owner while his account is deleted: one of the two, and no deadlock', async () => {
  const { id } = await server();
  const member = await panel.createUser();
  await panel.context.database.prisma.serverAccess.create({
    data: { serverId: id, userId: member.id, permissions: ['server.read'] },
  });
  await somebody.query('BEGIN');
  await somebody.query('SELECT FROM "ServerAccess" WHERE "serverId" = $1 FOR UPDATE', [id]);
  const given = panel.put(`/api/servers/${id}/owner`, { ownerId: member.id }, administrator.token);
  await queued(1);
  const deleted = panel.delete(`/api/admin/users/${member.id}`, administrator.token);
  await queued(2);
  await somebody.query('COMMIT');
  expect(await given).toMatchObject({ status: 200, body: { data: { ownerId: member.id } } });
  expect(await deleted).toMatchObject({ status: 409, body: { code: 'user.owns_servers' } });
});

test.each(['start', 'install'])('%s sends what the server has when it begins', async (verb) => {
  const { id } = await server({ allocatedMemoryMb: 8192 });
  await holdServer(id);
  const begun = panel.post(`/api/servers/${id}/${verb}`, undefined, owner.token);
  await queued(1);
  await somebody.query(
    'UPDATE "Server" SET "allocatedMemoryMb" = 1024, "updatedAt" = now() WHERE "id" = $1',
    [id],
  );
  await somebody.query('COMMIT');
  expect((await begun).status).toBe(200);
  const order = await agent.next(`${verb}_server`, ({ serverId }) => serverId === id);
  expect(order.allocatedMemoryMb).toBe(1024);
});

test('a port that is taken away while the server is about to start is not published', async () => {
  const { id } = await server();
  const { prisma } = panel.context.database;
  const ports = [25_565, 25_566].map((port) => ({ containerPort: port, hostPort: port }));
  await prisma.allocation.createMany({
    data: ports.map((port) => ({
      ...port,
      nodeId: node.id,
      serverId: id,
      isPrimary: port.hostPort === 25_565,
    })),
  });
  await holdServer(id);
  const removed = panel.delete(`/api/servers/${id}/allocations/25566`, owner.token);
  await queued(1);
  const started = panel.post(`/api/servers/${id}/start`, undefined, owner.token);
  await queued(2);
  await somebody.query('COMMIT');
  expect((await removed).status).toBe(200);
  expect((await started).status).toBe(200);
  const order = await agent.next('start_server', ({ serverId }) => serverId === id);
  expect(order.portBindings).toMatchObject([{ hostPort: 25_565 }]);
});

test('what comes to a server that moves to another node this very moment is 409, not 404', async () => {
  const { id } = await server();
  const other = await createOnlineNode(panel);
  const attempts = [
    () => panel.put(`/api/servers/${id}`, { allocatedMemoryMb: 256 }, administrator.token),
    () => panel.post(`/api/servers/${id}/allocations`, { containerPort: 7777 }, owner.token),
    () => panel.delete(`/api/servers/${id}/allocations/7777`, owner.token),
  ];
  for (const [index, attempt] of attempts.entries()) {
    await holdServer(id);
    const answer = attempt();
    await queued(1);
    const target = index % 2 ? node.id : other.id;
    await somebody.query('UPDATE "Server" SET "nodeId" = $2 WHERE "id" = $1', [id, target]);
    await somebody.query('COMMIT');
    expect(await answer).toMatchObject({ status: 409, body: { code: 'server.busy' } });
  }
});

test('of 50 starts at once exactly one begins, and the agent hears of one', async () => {
  const { id } = await server();
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => panel.post(`/api/servers/${id}/start`, undefined, owner.token)),
  );
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(answers.filter(({ status }) => status === 409)).toHaveLength(49);
  await agent.next('start_server', ({ serverId }) => serverId === id);
  expect(agent.received.filter(({ serverId }) => serverId === id)).toEqual([]);
  expect(await storedServer(panel, id)).toMatchObject({ status: 'starting', activeAction: 'start' });
});

test('who marks nodes as offline waits for nobody who holds some of them', async () => {
  const { prisma } = panel.context.database;
  const [held, free] = [await panel.createNode(), await panel.createNode()];
  const lastSeenAt = new Date(Date.now() - 3_600_000);
  const both = { id: { in: [held.id, free.id] } };
  await prisma.node.updateMany({ where: both, data: { isOnline: true, lastSeenAt } });
  await somebody.query('BEGIN');
  await somebody.query('SELECT FROM "Node" WHERE "id" = $1 FOR UPDATE', [held.id]);
  await panel.context.nodes.markStaleOffline(new Date());
  const online = () => prisma.node.findMany({ where: { ...both, isOnline: true }, select: { id: true } });
  expect(await online()).toEqual([{ id: held.id }]);
  await somebody.query('COMMIT');
  await panel.context.nodes.markStaleOffline(new Date());
  expect(await online()).toEqual([]);
});
