import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { insertServer, storedServer } from '../helpers/servers.js';

const HEARTBEAT_INTERVAL_MS = 200;

let panel: PanelWithDoors;
let ownerId: string;
let ownerToken: string;

beforeAll(async () => {
  panel = await startPanelWithDoors({ settings: { HEARTBEAT_INTERVAL_MS: String(HEARTBEAT_INTERVAL_MS) } });
  ({ id: ownerId, token: ownerToken } = await panel.createUser());
});

afterAll(() => panel.close());

function nodeRow(id: string) {
  return panel.context.database.prisma.node.findUniqueOrThrow({ where: { id } });
}

test('a node that misses three heartbeats is offline, and its servers keep their status, marked stale', async () => {
  const node = await panel.createNode();
  const server = await insertServer(panel, { nodeId: node.id, ownerId, status: 'running' });
  const connectedAt = Date.now();
  const agent = await panel.connect({ nodeId: node.id, token: node.secret });
  expect(await agent.next('node_handshake_response')).toMatchObject({
    heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
  });
  await agent.closed();
  expect(Date.now() - connectedAt).toBeGreaterThanOrEqual(3 * HEARTBEAT_INTERVAL_MS);
  await eventually('the node is offline', async () => !(await nodeRow(node.id)).isOnline);
  const { body } = await panel.get(`/api/servers/${server.id}`, ownerToken);
  expect(body.data).toMatchObject({ status: 'running', statusStale: true });
  const start = await panel.post(`/api/servers/${server.id}/stop`, undefined, ownerToken);
  expect(start).toMatchObject({ status: 503, body: { code: 'node.offline' } });
  expect(await storedServer(panel, server.id)).toMatchObject({ status: 'running', activeAction: null });
});

test('a node whose heartbeats come stays online', async () => {
  const node = await panel.createNode();
  const server = await insertServer(panel, { nodeId: node.id, ownerId, status: 'running' });
  const agent = await panel.connect({ nodeId: node.id, token: node.secret });
  const heartbeats = setInterval(() => agent.send({ type: 'heartbeat' }), HEARTBEAT_INTERVAL_MS);
  const { lastSeenAt: first } = await eventually('it is online', async () => {
    const row = await nodeRow(node.id);
    return row.isOnline && row;
  });
  await eventually('it was seen long after', async () => {
    const { lastSeenAt } = await nodeRow(node.id);
    return first && lastSeenAt && lastSeenAt.getTime() - first.getTime() > 5 * HEARTBEAT_INTERVAL_MS;
  });
  expect(agent.isClosed()).toBe(false);
  const { body } = await panel.get(`/api/servers/${server.id}`, ownerToken);
  expect(body.data.statusStale).toBe(false);
  clearInterval(heartbeats);
  await agent.disconnect();
});

test('a node that a panel left online when it died is found to be offline', async () => {
  const node = await panel.createNode();
  await panel.context.database.prisma.node.update({
    where: { id: node.id },
    data: { isOnline: true, lastSeenAt: new Date(Date.now() - 60_000) },
  });
  await eventually('the node is offline', async () => !(await nodeRow(node.id)).isOnline);
});

test('an action that no agent answers stops holding its server, and the user can go on', async () => {
  const node = await panel.createNode();
  const agent = await panel.connect({ nodeId: node.id, token: node.secret });
  const heartbeats = setInterval(() => agent.send({ type: 'heartbeat' }), HEARTBEAT_INTERVAL_MS);
  await agent.next('node_handshake_response');
  const held = {
    nodeId: node.id,
    ownerId,
    activeCommandId: 'lost',
    activeActionExpiresAt: new Date(Date.now() - 1000),
  };
  const installing = await insertServer(panel, { ...held, status: 'installing', activeAction: 'install' });
  const stopping = await insertServer(panel, { ...held, status: 'stopping', activeAction: 'stop' });
  const starting = await insertServer(panel, { ...held, status: 'starting', activeAction: 'start' });
  for (const [server, status] of [
    [installing, 'stopped'],
    [stopping, 'running'],
    [starting, 'starting'],
  ] as const) {
    await eventually(`it is free`, async () => !(await storedServer(panel, server.id)).activeAction);
    expect(await storedServer(panel, server.id)).toMatchObject({ status, activeActionExpiresAt: null });
  }
  expect((await panel.post(`/api/servers/${installing.id}/install`, undefined, ownerToken)).status).toBe(200);
  expect((await panel.post(`/api/servers/${stopping.id}/stop`, undefined, ownerToken)).status).toBe(200);
  expect((await panel.post(`/api/servers/${starting.id}/stop`, undefined, ownerToken)).status).toBe(200);
  clearInterval(heartbeats);
  await agent.disconnect();
});

test('what holds a server of a node that is away is left for when it is back', async () => {
  const node = await panel.createNode();
  const server = await insertServer(panel, {
    nodeId: node.id,
    ownerId,
    status: 'stopping',
    activeAction: 'stop',
    activeCommandId: 'lost',
    activeActionExpiresAt: new Date(Date.now() - 1000),
  });
  await panel.context.servers.expireActions(new Date());
  expect(await storedServer(panel, server.id)).toMatchObject({ status: 'stopping', activeAction: 'stop' });
});
