import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ServerStateChanged } from '../../src/events.js';
import { AGENT_FRAME_MAX_BYTES } from '../../src/protocol/limits.js';
import { eventually } from '../helpers/condition.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { insertServer, storedServer } from '../helpers/servers.js';

let panel: PanelWithDoors;
let agent: DocumentedAgent;
let node: { id: string; secret: string };
let ownerId: string;
const lines: string[] = [];
const changes: ServerStateChanged[] = [];

beforeAll(async () => {
  panel = await startPanelWithDoors({ log: { level: 'warn', write: (line) => lines.push(line) } });
  ownerId = (await panel.createUser()).id;
  panel.context.bus.on('server.stateChanged', (change) => changes.push(change));
});

beforeEach(async () => {
  lines.length = 0;
  changes.length = 0;
  node = await panel.createNode();
  agent = await panel.connectAgent(node);
});

afterEach(() => agent.disconnect());
afterAll(() => panel.close());

/** Everything that was sent before this has been dealt with. */
async function allHandled(sender = agent): Promise<void> {
  sender.send({ type: 'are_you_done' });
  await sender.next('error', ({ code }) => code === 'gateway.type_unknown');
}

test('an unknown type is answered with an error, and the connection stays', async () => {
  agent.send({ type: 'teleport_server', serverId: 'whatever' });
  expect(await agent.next('error')).toEqual({
    type: 'error',
    code: 'gateway.type_unknown',
    message: 'Unknown message type: teleport_server',
  });
  await allHandled();
});

test.each([
  ['what is not JSON', 'hello'],
  ['an array', '[]'],
  ['null', 'null'],
  ['an object without a type', '{"a":1}'],
  ['a type that is a number', '{"type":7}'],
  ['a known type with a bad field', '{"type":"server_state_update","serverId":"x","state":"exploded"}'],
  ['a known type without a field', '{"type":"resource_stats","serverId":"x"}'],
  ['deep nesting', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
])('%s is answered with gateway.frame_invalid, and the connection stays', async (_what, frame) => {
  agent.sendRaw(frame);
  expect(await agent.next('error')).toMatchObject({ code: 'gateway.frame_invalid' });
  await allHandled();
});

test('a binary frame is answered with gateway.frame_invalid', async () => {
  agent.sendRaw(Buffer.from('{"type":"heartbeat"}'));
  expect(await agent.next('error')).toMatchObject({ code: 'gateway.frame_invalid' });
});

test('a frame that is too large closes the connection with 1009', async () => {
  agent.sendRaw(JSON.stringify({ type: 'heartbeat', padding: 'x'.repeat(AGENT_FRAME_MAX_BYTES) }));
  expect(await agent.closed()).toMatchObject({ code: 1009 });
  expect((await panel.get('/health')).status).toBe(200);
});

test('a frame just below the limit is taken', async () => {
  agent.sendRaw(
    JSON.stringify({ type: 'unknown_but_fine', padding: 'x'.repeat(AGENT_FRAME_MAX_BYTES - 100) }),
  );
  expect(await agent.next('error')).toMatchObject({ code: 'gateway.type_unknown' });
});

test("another node's server is ignored, logged and counted, whatever is said about it", async () => {
  const otherNode = await panel.createNode();
  const server = await insertServer(panel, { nodeId: otherNode.id, ownerId, status: 'running' });
  const before = await storedServer(panel, server.id);
  agent.report(server.id, 'stopped');
  agent.send({ type: 'console_output', serverId: server.id, stream: 'stdout', data: 'I am in\n' });
  agent.send({
    type: 'resource_stats',
    serverId: server.id,
    cpu: 1,
    memoryMb: 1,
    networkSent: 1,
    networkReceived: 1,
  });
  agent.send({ type: 'install_progress', serverId: server.id, phase: 'done', percent: 100 });
  agent.send({ type: 'health_report', nodeId: otherNode.id, ...health });
  await allHandled();
  expect(await storedServer(panel, server.id)).toEqual(before);
  expect(changes).toEqual([]);
  expect(lines.filter((line) => line.includes('a server that is not on its node'))).toHaveLength(4);
  expect(lines.join('')).toContain('a health report of another node');
});

const health = {
  cpuPercent: 45.2,
  memoryUsageMb: 2048,
  memoryTotalMb: 8192,
  diskUsageMb: 512,
  diskTotalMb: 10_240,
  containerCount: 4,
  uptimeSeconds: 3600,
};

test('a health report is kept on the node', async () => {
  agent.send({ type: 'health_report', nodeId: node.id, ...health });
  await allHandled();
  const row = await panel.context.database.prisma.node.findUniqueOrThrow({ where: { id: node.id } });
  expect(row).toMatchObject({
    cpuPercent: 45.2,
    memoryUsageMb: 2048,
    containerCount: 4,
    uptimeSeconds: 3600n,
  });
});

test('a server that was placed on the node after the handshake is known', async () => {
  const server = await insertServer(panel, { nodeId: node.id, ownerId, status: 'starting' });
  agent.report(server.id, 'running');
  await allHandled();
  expect(await storedServer(panel, server.id)).toMatchObject({ status: 'running' });
});

test('a transition that cannot be is refused, logged and changes nothing', async () => {
  const server = await insertServer(panel, { nodeId: node.id, ownerId, status: 'stopped' });
  for (const state of ['running', 'stopping', 'crashed', 'suspended']) agent.report(server.id, state);
  await allHandled();
  expect(await storedServer(panel, server.id)).toMatchObject({ status: 'stopped' });
  expect(changes).toEqual([]);
  expect(lines.filter((line) => line.includes('a state that cannot follow'))).toHaveLength(4);
});

test('a report is stored with what came with it, and told with the state before', async () => {
  const server = await insertServer(panel, {
    nodeId: node.id,
    ownerId,
    status: 'running',
    desiredState: 'running',
  });
  agent.report(server.id, 'crashed', {
    exitCode: 137,
    oomKilled: true,
    reason: 'out of\u0000 memory',
    crashCount: 3,
    containerId: 'abc',
  });
  await allHandled();
  const stored = await storedServer(panel, server.id);
  expect(stored).toMatchObject({
    status: 'crashed',
    exitCode: 137,
    oomKilled: true,
    statusReason: 'out of memory',
    crashCount: 3,
    containerId: 'abc',
    desiredState: 'running',
  });
  expect(stored.lastCrashAt).not.toBeNull();
  expect(changes).toEqual([
    {
      serverId: server.id,
      nodeId: node.id,
      state: 'crashed',
      previousState: 'running',
      reason: 'out of memory',
      exitCode: 137,
      oomKilled: true,
    },
  ]);
});

test('a server that stopped although nobody asked is not wanted any more', async () => {
  const server = await insertServer(panel, {
    nodeId: node.id,
    ownerId,
    status: 'running',
    desiredState: 'running',
  });
  agent.report(server.id, 'stopped', { exitCode: 0, reason: 'exited by itself with code 0' });
  await allHandled();
  expect(await storedServer(panel, server.id)).toMatchObject({ status: 'stopped', desiredState: 'stopped' });
});

test('an agent cannot clear a suspension, and clients see nothing but it', async () => {
  const suspendedAt = new Date();
  const server = await insertServer(panel, { nodeId: node.id, ownerId, status: 'running', suspendedAt });
  agent.report(server.id, 'stopped');
  await allHandled();
  expect(await storedServer(panel, server.id)).toMatchObject({ status: 'stopped', suspendedAt });
  expect(changes).toEqual([]);
});

test('numbers that no column holds do no harm', async () => {
  const server = await insertServer(panel, { nodeId: node.id, ownerId, status: 'running' });
  agent.report(server.id, 'crashed', { exitCode: 2 ** 40, crashCount: 2 ** 50 });
  await allHandled();
  expect(await storedServer(panel, server.id)).toMatchObject({
    exitCode: 2_147_483_647,
    crashCount: 2_147_483_647,
  });
  agent.report(server.id, 'starting');
  agent.report(server.id, 'crashed');
  await allHandled();
  expect(await storedServer(panel, server.id)).toMatchObject({
    status: 'crashed',
    crashCount: 2_147_483_647,
  });
});

test('reports of one server are stored in the order they were sent', async () => {
  const server = await insertServer(panel, { nodeId: node.id, ownerId, status: 'stopped' });
  const round = ['starting', 'running', 'stopping', 'stopped'];
  for (let count = 0; count < 10; count += 1) for (const state of round) agent.report(server.id, state);
  await allHandled();
  expect(changes.map(({ state }) => state)).toEqual(Array.from({ length: 10 }, () => round).flat());
});

test('too many violations close the connection with 4400, with a few lines in the log', async () => {
  for (let count = 0; count < 1100; count += 1) agent.report('no-such-server', 'running');
  expect(await agent.closed()).toMatchObject({ code: 4400 });
  expect(lines.length).toBeLessThan(20);
});

test('a flood of messages is taken at the pace of the panel, with flat memory and a few answers', async () => {
  const server = await insertServer(panel, { nodeId: node.id, ownerId, status: 'running' });
  const report = {
    type: 'server_state_update',
    serverId: server.id,
    state: 'running',
    message: 'x'.repeat(1900),
  };
  const text = JSON.stringify(report);
  const before = process.memoryUsage().rss;
  const count = 20_000;
  for (let sent = 0; sent < count; sent += 1) {
    agent.sendRaw(text);
    agent.sendRaw('{"type":"never_heard_of"}');
  }
  const health = await panel.get('/health');
  expect(health.status).toBe(200);
  await agent.until('some answers', () => agent.received.length > 5);
  // What the panel has not read yet waits with us, the sender, which is the same process here.
  const waitingBytes = agent.socket.bufferedAmount;
  expect(waitingBytes).toBeGreaterThan(10 * 1024 * 1024);
  expect(process.memoryUsage().rss - before - waitingBytes).toBeLessThan(150 * 1024 * 1024);
  expect(agent.received.length).toBeLessThan(100);
  agent.socket.terminate();
  await eventually('the agent has gone', () => !panel.context.agents.isConnected(node.id));
});
