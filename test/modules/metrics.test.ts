import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { insertServer } from '../helpers/console.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';

let panel: PanelWithDoors;
let node: { id: string; secret: string };
let agent: DocumentedAgent;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  node = await panel.createNode();
  agent = await panel.connectAgent(node);
});

afterAll(() => panel.close());

async function samples(table: 'server_metrics' | 'node_metrics', column: string, id: string) {
  const { rows } = await panel.context.database.pool.query(
    `SELECT * FROM history.${table} WHERE "${column}" = $1 ORDER BY "at"`,
    [id],
  );
  return rows;
}

test('of many statistics one sample is stored at once, in the history and on the server, which stays unchanged', async () => {
  const server = await insertServer(panel.context.database, { nodeId: node.id });
  const { prisma } = panel.context.database;
  const { updatedAt } = await prisma.server.findUniqueOrThrow({ where: { id: server.id } });
  for (let count = 0; count < 5; count += 1) {
    agent.send({
      type: 'resource_stats',
      serverId: server.id,
      cpu: 150.126,
      memoryMb: 2048.6,
      networkSent: 5_000_000_000_000,
      networkReceived: 7 + count,
      diskUsageMb: 512,
    });
  }
  const [stored] = await eventually('a sample', async () => {
    const rows = await samples('server_metrics', 'serverId', server.id);
    return rows.length > 0 && rows;
  });
  expect(stored).toMatchObject({
    cpuUsage: expect.closeTo(150.13, 3),
    memoryUsageMb: 2049,
    diskUsageMb: 512,
    networkSent: '5000000000000',
    networkReceived: '7',
  });
  expect(await prisma.server.findUniqueOrThrow({ where: { id: server.id } })).toMatchObject({
    cpuUsage: 150.13,
    memoryUsageMb: 2049,
    diskUsageMb: 512,
    networkSent: 5_000_000_000_000n,
    networkReceived: 7n,
    updatedAt,
  });
  await panel.context.metrics.close();
  expect(await samples('server_metrics', 'serverId', server.id)).toHaveLength(1);
});

test('absurd numbers do not keep the samples of others from being stored', async () => {
  const absurd = await insertServer(panel.context.database, { nodeId: node.id });
  const usual = await insertServer(panel.context.database, { nodeId: node.id });
  const usage = { networkSent: 0, networkReceived: 0 };
  agent.send({
    type: 'resource_stats',
    serverId: absurd.id,
    cpu: 1e300,
    memoryMb: 1e300,
    diskUsageMb: 1e-300,
    ...usage,
  });
  agent.send({ type: 'resource_stats', serverId: usual.id, cpu: 1e-300, memoryMb: 1, ...usage });
  await eventually(
    'a sample',
    async () => (await samples('server_metrics', 'serverId', usual.id)).length > 0,
  );
  expect(await samples('server_metrics', 'serverId', absurd.id)).toMatchObject([
    { memoryUsageMb: 2_147_483_647 },
  ]);
});

test('the health of a node is stored in its history', async () => {
  agent.send({
    type: 'health_report',
    nodeId: node.id,
    cpuPercent: 45.2,
    memoryUsageMb: 2048,
    memoryTotalMb: 8192,
    diskUsageMb: 512,
    diskTotalMb: 10_240,
    containerCount: 4,
    uptimeSeconds: 3600,
  });
  const rows = await eventually('a sample', async () => {
    const found = await samples('node_metrics', 'nodeId', node.id);
    return found.length > 0 && found;
  });
  expect(rows).toMatchObject([
    {
      cpuPercent: expect.closeTo(45.2, 3),
      memoryUsageMb: 2048,
      memoryTotalMb: 8192,
      diskUsageMb: 512,
      diskTotalMb: 10_240,
      containerCount: 4,
    },
  ]);
});

test('a server that is deleted before its sample is stored harms nobody', async () => {
  const gone = await insertServer(panel.context.database, { nodeId: node.id });
  const here = await insertServer(panel.context.database, { nodeId: node.id });
  const usage = { cpu: 1, memoryMb: 1, networkSent: 0, networkReceived: 0 };
  panel.context.metrics.recordStats({ type: 'resource_stats', serverId: gone.id, ...usage });
  panel.context.metrics.recordStats({ type: 'resource_stats', serverId: here.id, ...usage });
  await panel.context.database.prisma.server.delete({ where: { id: gone.id } });
  await panel.context.metrics.close();
  expect(await samples('server_metrics', 'serverId', gone.id)).toEqual([]);
  expect(await samples('server_metrics', 'serverId', here.id)).toHaveLength(1);
});
