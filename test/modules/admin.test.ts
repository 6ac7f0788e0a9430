import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.js';

const HEARTBEAT_INTERVAL_MS = 30_000;

let proxy: TcpProxy;
let panel: Panel;
let reader: TestUser;
beforeEach(async () => {
  panel = await startPanel({
    settings: { HEARTBEAT_INTERVAL_MS: String(HEARTBEAT_INTERVAL_MS) },
    async reachDatabase(url) {
      const direct = new URL(url);
      proxy = await startTcpProxy({ host: direct.hostname, port: Number(direct.port) });
      direct.host = `127.0.0.1:${proxy.port}`;
      return direct.href;
    },
  });
  reader = await panel.createUser(['admin.read']);
});
afterEach(() => panel.close());

const URLS = ['/api/admin/stats', '/api/admin/servers', '/api/admin/health'];

test('every route is 401 without a token and 403 without admin.read, whatever else one may', async () => {
  const stranger = await panel.createUser(['server.*', 'admin.write']);
  for (const url of URLS) {
    expect((await panel.get(url)).status).toBe(401);
    const answer = await panel.get(url, stranger.token);
    expect([url, answer.status, answer.body.code]).toEqual([url, 403, 'permission.denied']);
  }
});

/** Heard of so long ago. */
function seen(nodeId: string, agoMs: number, isOnline = true) {
  return panel.context.database.prisma.node.update({
    where: { id: nodeId },
    data: { isOnline, lastSeenAt: new Date(Date.now() - agoMs) },
  });
}

describe('the statistics', () => {
  test('of an empty panel are zeros, in the documented shape', async () => {
    await panel.context.database.prisma.user.deleteMany({ where: { id: { not: reader.id } } });
    expect((await panel.get('/api/admin/stats', reader.token)).body).toEqual({
      success: true,
      data: {
        totalServers: 0,
        runningServers: 0,
        totalNodes: 0,
        onlineNodes: 0,
        totalUsers: 1,
        totalMemoryMb: 0,
        usedMemoryMb: 0,
        totalCpuCores: 0,
        usedCpuCores: 0,
        measuredMemoryMb: 0,
        measuredCpuCores: 0,
      },
    });
  });

  test('count what there is: held by servers, running or not, and measured of those that are up', async () => {
    const first = await panel.createNode({ maxMemoryMb: 8192, maxCpuCores: 7.3 });
    const second = await panel.createNode({ maxMemoryMb: 4096, maxCpuCores: 0.1 });
    const third = await panel.createNode({ maxMemoryMb: 1000, maxCpuCores: 1 });
    await seen(first.id, 0);
    // Nobody noticed that it has gone.
    await seen(second.id, HEARTBEAT_INTERVAL_MS * 3 + 1000);
    await seen(third.id, 0, false);
    const owned = { nodeId: first.id, ownerId: reader.id };
    const sample = { memoryUsageMb: 300, cpuUsage: 150 };
    await insertServer(panel, { ...owned, ...sample, status: 'running', allocatedCpuCores: 0.1 });
    await insertServer(panel, { ...owned, ...sample, status: 'starting', allocatedCpuCores: 0.2 });
    await insertServer(panel, { ...owned, ...sample, status: 'stopped', allocatedMemoryMb: 1024 });
    const { data } = (await panel.get('/api/admin/stats', reader.token)).body;
    expect(data).toMatchObject({
      totalServers: 3,
      runningServers: 1,
      totalNodes: 3,
      onlineNodes: 1,
      totalMemoryMb: 13_288,
      usedMemoryMb: 2048,
      totalCpuCores: 8.4,
      usedCpuCores: 1.3,
      measuredMemoryMb: 600,
      measuredCpuCores: 3,
    });
  });
});

describe('the list of all servers', () => {
  test('answers what the documented example has, of everybody’s servers, oldest first', async () => {
    const { id: nodeId } = await panel.createNode();
    await seen(nodeId, 0);
    const owner = await panel.createUser();
    const server = await insertServer(panel, {
      nodeId,
      ownerId: owner.id,
      name: 'minecraft-lobby',
      status: 'running',
      allocatedMemoryMb: 4096,
      cpuUsage: 45.2,
      memoryUsageMb: 1234,
    });
    const newer = await insertServer(panel, { nodeId, ownerId: reader.id, cpuUsage: 99 });
    const node = await panel.context.database.prisma.node.findUniqueOrThrow({ where: { id: nodeId } });
    const answer = await panel.get('/api/admin/servers', reader.token);
    expect(answer.body.data[0]).toEqual({
      id: server.id,
      uuid: server.uuid,
      name: 'minecraft-lobby',
      owner: { id: owner.id, username: owner.username },
      node: { id: nodeId, name: node.name },
      status: 'running',
      statusStale: false,
      allocatedMemoryMb: 4096,
      allocatedCpuCores: 1,
      allocatedDiskMb: 1024,
      cpuUsage: 45.2,
      memoryUsageMb: 1234,
      createdAt: expect.any(String),
    });
    expect(answer.body.data[1]).toMatchObject({ id: newer.id, status: 'stopped', cpuUsage: 0 });
    expect(answer.body.pagination).toEqual({ page: 1, limit: 20, total: 2, pages: 1 });
    await seen(nodeId, 0, false);
    const stale = await panel.get('/api/admin/servers', reader.token);
    expect(stale.body.data[0]).toMatchObject({ status: 'running', statusStale: true });
  });

  test('is filtered by status, node, owner and what somebody searches for', async () => {
    const [first, second] = [await panel.createNode(), await panel.createNode()];
    const owner = await panel.createUser();
    const one = await insertServer(panel, { nodeId: first.id, ownerId: owner.id, name: 'One_A' });
    const two = await insertServer(panel, {
      nodeId: second.id,
      ownerId: reader.id,
      name: 'oneXa',
      status: 'running',
    });
    const three = await insertServer(panel, {
      nodeId: second.id,
      ownerId: reader.id,
      name: 'three',
      status: 'running',
      suspendedAt: new Date(),
    });
    const found = async (query: string) =>
      (await panel.get(`/api/admin/servers?${query}`, reader.token)).body.data.map(
        ({ id }: { id: string }) => id,
      );
    expect(await found('status=running')).toEqual([two.id]);
    expect(await found('status=suspended')).toEqual([three.id]);
    expect(await found(`nodeId=${second.id}`)).toEqual([two.id, three.id]);
    expect(await found(`ownerId=${owner.id}`)).toEqual([one.id]);
    expect(await found('search=ONE_a')).toEqual([one.id]);
    expect(await found(`search=${owner.username.toUpperCase()}`)).toEqual([one.id]);
    expect(await found(`search=${three.uuid.toUpperCase()}`)).toEqual([three.id]);
    expect(await found(`search=${two.id}`)).toEqual([two.id]);
    expect(await found('search=%25')).toEqual([]);
    const page = await panel.get('/api/admin/servers?page=2&limit=2', reader.token);
    expect(page.body.data.map(({ id }: { id: string }) => id)).toEqual([three.id]);
    expect(page.body.pagination).toEqual({ page: 2, limit: 2, total: 3, pages: 2 });
    const beyond = await panel.get('/api/admin/servers?page=9', reader.token);
    expect(beyond.body).toMatchObject({ data: [], pagination: { total: 3 } });
    for (const query of ['status=flying', 'limit=101', 'nonsense=1']) {
      expect((await panel.get(`/api/admin/servers?${query}`, reader.token)).status).toBe(400);
    }
  });
});

describe('the health', () => {
  const health = async () => (await panel.get('/api/admin/health', reader.token)).body.data;

  test('is healthy without nodes, and says nothing of what was not asked', async () => {
    const before = Math.floor(process.uptime());
    const answer = await health();
    expect(answer).toEqual({
      status: 'healthy',
      database: 'connected',
      redis: 'disabled',
      nodes: { total: 0, online: 0, offline: 0 },
      services: { taskScheduler: 'disabled', alertService: 'disabled', sftpServer: 'disabled' },
      uptime: expect.any(Number),
    });
    expect(answer.uptime).toBeGreaterThanOrEqual(before);
    expect(answer.uptime).toBeLessThanOrEqual(process.uptime());
  });

  test('is degraded while a node is offline, also one that nobody saw leave', async () => {
    const [first, second] = [await panel.createNode(), await panel.createNode()];
    await seen(first.id, 0);
    await seen(second.id, HEARTBEAT_INTERVAL_MS * 3 + 1000);
    expect(await health()).toMatchObject({ status: 'degraded', nodes: { total: 2, online: 1, offline: 1 } });
    await seen(second.id, 0);
    expect(await health()).toMatchObject({ status: 'healthy', nodes: { total: 2, online: 2, offline: 0 } });
  });

  test('is unhealthy while the database is away, whose nodes nobody can count then', async () => {
    await health();
    await proxy.cut();
    // The rights of the reader are still known.
    expect(await health()).toMatchObject({ status: 'unhealthy', database: 'disconnected', nodes: null });
    await proxy.restore();
    expect(await health()).toMatchObject({ status: 'healthy', database: 'connected' });
  });
});
