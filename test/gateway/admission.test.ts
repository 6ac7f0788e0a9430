import { afterAll, beforeAll, expect, test } from 'vitest';
import { Capability } from '../../src/protocol/agent-messages.js';
import { eventually } from '../helpers/condition.js';
import { refusedUpgrade } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';

let panel: PanelWithDoors;
const lines: string[] = [];

beforeAll(async () => {
  panel = await startPanelWithDoors({ log: { level: 'info', write: (line) => lines.push(line) } });
});

afterAll(() => panel.close());

async function deploymentToken(nodeId: string): Promise<string> {
  const administrator = await panel.createAdministrator();
  const answer = await panel.post(`/api/nodes/${nodeId}/deployment-token`, undefined, administrator.token);
  return answer.body.data.deploymentToken;
}

test.each([
  ['another path', 404, '/elsewhere?nodeId=a&token=b'],
  ['a node id with strange characters', 400, '/ws?nodeId=a%00b&token=b'],
  ['an empty node id', 400, '/ws?nodeId=&token=b'],
  ['two node ids', 400, '/ws?nodeId=a&nodeId=b&token=b'],
  ['no token', 401, '/ws?nodeId=a'],
  ['a node that does not exist', 401, '/ws?nodeId=nosuchnode&token=b'],
])('an upgrade with %s is answered %i', async (_what, status, address) => {
  expect(await refusedUpgrade(panel.port, address)).toBe(status);
});

test('a wrong token is answered 401, and no token is in the log', async () => {
  const node = await panel.createNode();
  const wrong = 'ctn_a-token-that-is-wrong';
  expect(await refusedUpgrade(panel.port, `/ws?nodeId=${node.id}&token=${wrong}`)).toBe(401);
  const other = await panel.createNode();
  expect(await refusedUpgrade(panel.port, `/ws?nodeId=${node.id}&token=${other.secret}`)).toBe(401);
  expect(lines.join('')).toContain('an agent with a wrong token was turned away');
  expect(lines.join('')).not.toContain(wrong);
  expect(lines.join('')).not.toContain(other.secret);
});

test('a handshake for another node, or with a token of another node, closes with 4401', async () => {
  const node = await panel.createNode();
  const other = await panel.createNode();
  const handshakes = [
    { nodeId: other.id },
    { nodeId: other.id, token: other.secret },
    { token: other.secret },
  ];
  for (const handshake of handshakes) {
    const agent = await panel.connect({ nodeId: node.id, token: node.secret, handshake });
    expect(await agent.closed()).toMatchObject({ code: 4401 });
    expect(agent.received).toEqual([]);
  }
  expect(panel.context.agents.isConnected(node.id)).toBe(false);
  expect(panel.context.agents.isConnected(other.id)).toBe(false);
});

test('whoever says something else before the handshake is closed with 4401', async () => {
  const node = await panel.createNode();
  for (const first of ['{"type":"heartbeat"}', 'not JSON', '{"type":"node_handshake"}']) {
    const agent = await panel.connect({ nodeId: node.id, token: node.secret, handshake: null });
    agent.sendRaw(first);
    expect(await agent.closed()).toMatchObject({ code: 4401 });
  }
});

test('whoever says nothing is closed with 4408', { timeout: 20_000 }, async () => {
  const node = await panel.createNode();
  const agent = await panel.connect({ nodeId: node.id, token: node.secret, handshake: null });
  const openedAt = Date.now();
  const code = await new Promise((resolve) => agent.socket.on('close', resolve));
  expect(code).toBe(4408);
  expect(Date.now() - openedAt).toBeLessThan(12_000);
});

test('what is said right behind the handshake is understood in order', async () => {
  const node = await panel.createNode();
  const agent = await panel.connect({ nodeId: node.id, token: node.secret, handshake: null });
  agent.send({ type: 'node_handshake', nodeId: node.id, token: node.secret });
  agent.send({ type: 'first_unknown' });
  agent.send({ type: 'second_unknown' });
  await agent.until('three answers', () => agent.received.length === 3);
  expect(agent.received.map(({ type, message }) => message ?? type)).toEqual([
    'node_handshake_response',
    'Unknown message type: first_unknown',
    'Unknown message type: second_unknown',
  ]);
  await agent.disconnect();
});

test('the answer tells what the panel speaks, and where each console goes on', async () => {
  const node = await panel.createNode();
  const agent = await panel.connect({ nodeId: node.id, token: node.secret });
  expect(await agent.next('node_handshake_response')).toEqual({
    type: 'node_handshake_response',
    nodeId: node.id,
    protocolVersion: 1,
    capabilities: Object.values(Capability),
    heartbeatIntervalMs: 30_000,
    console: [],
  });
  await agent.disconnect();
});

test('a deployment token is exchanged for the secret once', async () => {
  const node = await panel.createNode();
  const token = await deploymentToken(node.id);
  const agent = await panel.connect({ nodeId: node.id, token });
  expect(await agent.next('node_handshake_response')).toMatchObject({ secret: node.secret });
  await agent.disconnect();
  const where = { action: 'deployment_token.redeem', resourceId: node.id };
  expect(await panel.context.database.prisma.auditLog.findMany({ where })).toMatchObject([
    { userId: null, ipAddress: '127.0.0.1', metadata: { nodeName: expect.any(String) } },
  ]);
  expect(await refusedUpgrade(panel.port, `/ws?nodeId=${node.id}&token=${token}`)).toBe(401);
  const withSecret = await panel.connect({ nodeId: node.id, token: node.secret });
  expect(await withSecret.next('node_handshake_response')).not.toHaveProperty('secret');
  await withSecret.disconnect();
});

test('of two connections that use one deployment token at once, one is admitted', async () => {
  const node = await panel.createNode();
  const token = await deploymentToken(node.id);
  const options = { nodeId: node.id, token, handshake: null };
  const agents = await Promise.all([panel.connect(options), panel.connect(options)]);
  for (const agent of agents) agent.send({ type: 'node_handshake', nodeId: node.id, token });
  const outcomes = await Promise.all(
    agents.map((agent) =>
      agent.until('an outcome', () => agent.received[0]?.secret ?? (agent.isClosed() && 'closed')),
    ),
  );
  expect(outcomes.sort()).toEqual(['closed', node.secret].sort());
});

test('a token that was not exchanged yet is good for another try', async () => {
  const node = await panel.createNode();
  const token = await deploymentToken(node.id);
  const agent = await panel.connect({ nodeId: node.id, token, handshake: { nodeId: 'another' } });
  expect(await agent.closed()).toMatchObject({ code: 4401 });
  const again = await panel.connect({ nodeId: node.id, token });
  expect(await again.next('node_handshake_response')).toMatchObject({ secret: node.secret });
});

test('a newer connection of a node takes the place of the older, which is closed with 4409', async () => {
  const node = await panel.createNode();
  const older = await panel.connectAgent(node);
  // One that is not admitted does not push anybody out.
  const impostor = await panel.connect({ nodeId: node.id, token: node.secret, handshake: { nodeId: 'x' } });
  await impostor.closed();
  older.send({ type: 'still_here' });
  await older.next('error');
  const newer = await panel.connectAgent(node);
  expect(await older.closed()).toMatchObject({ code: 4409 });
  newer.send({ type: 'still_here' });
  await newer.next('error');
  expect(panel.context.agents.isConnected(node.id)).toBe(true);
  const { isOnline } = await panel.context.database.prisma.node.findUniqueOrThrow({ where: { id: node.id } });
  expect(isOnline).toBe(true);
  await newer.disconnect();
  await eventually('the node is offline', async () => {
    const row = await panel.context.database.prisma.node.findUniqueOrThrow({ where: { id: node.id } });
    return !row.isOnline;
  });
});

test('an address has so many connections that are not admitted, and no more', async () => {
  const node = await panel.createNode();
  const options = { nodeId: node.id, token: node.secret, handshake: null };
  const waiting = await Promise.all(Array.from({ length: 20 }, () => panel.connect(options)));
  const address = `/ws?nodeId=${node.id}&token=${node.secret}`;
  expect(await refusedUpgrade(panel.port, address)).toBe(429);
  await waiting[0]?.disconnect();
  const next = await eventually('there is room again', () => panel.connect(options).catch(() => null));
  for (const agent of [...waiting.slice(1), next]) await agent.disconnect();
});

test('a panel that shuts down sends its agents away with 1001', async () => {
  const own = await startPanelWithDoors();
  const node = await own.createNode();
  const agent = await own.connectAgent(node);
  await own.sockets.close();
  expect(await agent.closed()).toMatchObject({ code: 1001 });
  expect(await refusedUpgrade(own.port, `/ws?nodeId=${node.id}&token=${node.secret}`)).toBe(503);
  const row = await own.context.database.prisma.node.findUniqueOrThrow({ where: { id: node.id } });
  expect(row.isOnline).toBe(false);
  await own.close();
});
