import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { maintainPartitions } from '../../src/database/partitions.js';
import { createApiKey } from '../helpers/accounts.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

let panel: PanelWithDoors;
let other: PanelWithDoors;
let administrator: TestUser;
let reader: TestUser;
let owner: TestUser;
let stranger: TestUser;
let node: { id: string; secret: string };
let server: { id: string };
/** A minute of yesterday, in the middle of it. */
const NOON = new Date(new Date().setUTCHours(12, 0, 0, 0) - 24 * 3_600_000);
beforeAll(async () => {
  panel = await startPanelWithDoors();
  other = await startPanelWithDoors({ database: panel.database });
  administrator = await panel.createAdministrator();
  reader = await panel.createUser(['admin.read']);
  owner = await panel.createUser();
  stranger = await panel.createUser();
  node = await panel.createNode();
  server = await insertServer(panel, { nodeId: node.id, ownerId: owner.id });
  const { pool } = panel.context.database;
  await maintainPartitions({
    pool,
    now: new Date(),
    retentionDays: { logs: 30, metrics: 30 },
    log: panel.context.log,
  });
  await pool.query(
    `INSERT INTO history.server_metrics
       ("serverId", "at", "cpuUsage", "memoryUsageMb", "diskUsageMb", "networkSent", "networkReceived")
     SELECT $1, $2::timestamptz + n * interval '30 seconds', n, 100 + n, NULL, n * 1000, 5000000000
     FROM generate_series(0, 119) n`,
    [server.id, NOON.toISOString()],
  );
  await pool.query(
    `INSERT INTO history.node_metrics
       ("nodeId", "at", "cpuPercent", "memoryUsageMb", "memoryTotalMb", "diskUsageMb", "diskTotalMb", "containerCount")
     SELECT $1, $2::timestamptz + n * interval '30 seconds', n / 10.0, 1000 + n, 8192, 10, 100, n
     FROM generate_series(0, 119) n`,
    [node.id, NOON.toISOString()],
  );
});
afterAll(async () => {
  await other.close();
  await panel.close();
});

function hourAfter(time: Date): string {
  return new Date(time.getTime() + 3_600_000).toISOString();
}

const NODE_ROUTES = ['/api/nodes/x/stats', '/api/nodes/x/metrics'];
const SERVER_ROUTES = ['stats', 'metrics'];

test.each([...NODE_ROUTES, '/api/servers/x/stats', '/api/servers/x/metrics'])(
  'GET %s is 401 without a token',
  async (url) => {
    expect((await panel.get(url)).status).toBe(401);
  },
);

test.each(NODE_ROUTES)('GET %s is 403 for who may not read everything, else 404', async (url) => {
  expect((await panel.get(url, owner.token)).body.code).toBe('permission.denied');
  const answer = await panel.get(url, reader.token);
  expect([answer.status, answer.body.code]).toEqual([404, 'node.not_found']);
});

test.each(SERVER_ROUTES)('GET /api/servers/:serverId/%s is for who may read the server', async (route) => {
  const url = `/api/servers/${server.id}/${route}`;
  const { key } = await createApiKey(panel, owner.token, { permissions: ['server.start'] });
  for (const token of [stranger.token, reader.token, key]) {
    const answer = await panel.get(url, token);
    expect([answer.status, answer.body.code]).toEqual([404, 'server.not_found']);
  }
  expect((await panel.get(url, owner.token)).status).toBe(200);
  expect((await panel.get(`/api/servers/none/${route}`, administrator.token)).status).toBe(404);
});

describe('histories', () => {
  test.each([
    ['a time that is none', 'from=yesterday'],
    ['a time without a zone', 'from=2026-01-01T00:00:00'],
    ['the year 0', 'from=0000-01-01T00:00:00Z'],
    ['a year before it', 'to=0000-01-01T00:00:00%2B23:00'],
    ['the year 10000', 'to=9999-12-31T23:59:59-23:00'],
    ['an end before the beginning', 'from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z'],
    ['a moment', 'from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z'],
    ['no points', 'points=0'],
    ['1001 points', 'points=1001'],
    ['an unknown field', 'resolution=5'],
  ])('with %s are 400', async (_, query) => {
    for (const url of [`/api/servers/${server.id}/metrics`, `/api/nodes/${node.id}/metrics`]) {
      expect((await panel.get(`${url}?${query}`, administrator.token)).status).toBe(400);
    }
  });

  test('may begin with the first second and end with the last', async () => {
    const query = 'from=1970-01-01T00:00:00Z&to=9999-01-01T00:00:00Z&points=7';
    const { status, body } = await panel.get(`/api/nodes/${node.id}/metrics?${query}`, reader.token);
    expect([status, body.data?.points.length]).toEqual([200, 1]);
    expect(
      (await panel.get(`/api/nodes/${node.id}/metrics?to=1970-01-01T00:00:00Z`, reader.token)).status,
    ).toBe(200);
  });

  test('of a server: so many points, means and highest values, in the order of time', async () => {
    const query = `from=${NOON.toISOString()}&to=${hourAfter(NOON)}&points=60`;
    const { body } = await panel.get(`/api/servers/${server.id}/metrics?${query}`, owner.token);
    expect(body).toMatchObject({
      success: true,
      data: { from: NOON.toISOString(), to: hourAfter(NOON), resolutionSeconds: 60 },
    });
    const { points } = body.data;
    expect(points).toHaveLength(60);
    expect(points[1]).toEqual({
      at: new Date(NOON.getTime() + 60_000).toISOString(),
      cpuUsage: 2.5,
      cpuUsageMax: 3,
      memoryUsageMb: 103,
      memoryUsageMbMax: 103,
      diskUsageMb: null,
      networkSent: 3000,
      networkReceived: 5_000_000_000,
    });
    expect(points.map(({ at }: { at: string }) => at)).toEqual(
      points.map(({ at }: { at: string }) => at).sort(),
    );
  });

  test('of a node: the same', async () => {
    const query = `from=${NOON.toISOString()}&to=${hourAfter(NOON)}&points=1`;
    const { body } = await panel.get(`/api/nodes/${node.id}/metrics?${query}`, reader.token);
    expect(body.data.resolutionSeconds).toBe(3600);
    expect(body.data.points).toEqual([
      {
        at: NOON.toISOString(),
        cpuPercent: 5.95,
        cpuPercentMax: 11.9,
        memoryUsageMb: 1060,
        memoryUsageMbMax: 1119,
        memoryTotalMb: 8192,
        diskUsageMb: 10,
        diskTotalMb: 100,
        containerCount: 119,
      },
    ]);
  });

  test('never have more points than were asked for, however long they are, and none closer than samples are', async () => {
    const url = `/api/servers/${server.id}/metrics`;
    const { body } = await panel.get(`${url}?from=1970-01-01T00:00:00Z&points=1000`, owner.token);
    expect(body.data.points.length).toBeGreaterThan(0);
    expect(body.data.points.length).toBeLessThanOrEqual(1000);
    const to = new Date(NOON.getTime() + 120_000).toISOString();
    const short = await panel.get(`${url}?from=${NOON.toISOString()}&to=${to}&points=1000`, owner.token);
    expect(short.body.data).toMatchObject({ resolutionSeconds: 30, points: { length: 4 } });
  });

  test('are of the last hour unless said otherwise, and an end alone means the hour before it', async () => {
    const url = `/api/servers/${server.id}/metrics`;
    const { data } = (await panel.get(url, owner.token)).body;
    expect(Date.parse(data.to) - Date.parse(data.from)).toBe(3_600_000);
    expect(Math.abs(Date.now() - Date.parse(data.to))).toBeLessThan(60_000);
    const before = await panel.get(`${url}?to=${hourAfter(NOON)}`, owner.token);
    expect(before.body.data).toMatchObject({ from: NOON.toISOString(), points: { length: 120 } });
  });

  test('look only at the days that are asked for', async () => {
    const { rows } = await panel.context.database.pool.query(
      `EXPLAIN SELECT date_bin(make_interval(secs => 60), "at", $2::timestamptz) FROM history.server_metrics
       WHERE "serverId" = $1 AND "at" >= $2::timestamptz AND "at" < $3::timestamptz`,
      [server.id, NOON.toISOString(), hourAfter(NOON)],
    );
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan.match(/server_metrics_\d{8} /g)).toHaveLength(1);
  });
});

describe('GET /api/servers/:serverId/stats', () => {
  test('of a server that is down has no sample', async () => {
    const { body } = await panel.get(`/api/servers/${server.id}/stats`, owner.token);
    expect(body).toEqual({
      success: true,
      data: {
        serverId: server.id,
        status: 'stopped',
        startedAt: null,
        uptimeSeconds: null,
        allocatedMemoryMb: 512,
        allocatedCpuCores: 1,
        allocatedDiskMb: 1024,
        sample: null,
      },
    });
  });

  test('has what the agent last said and how old that is, on every panel', async () => {
    const agentNode = await panel.createNode();
    const running = await insertServer(panel, {
      nodeId: agentNode.id,
      ownerId: owner.id,
      status: 'running',
      startedAt: new Date(Date.now() - 60_000),
    });
    const agent = await panel.connectAgent(agentNode);
    const usage = { cpu: 150.126, memoryMb: 400.4, diskUsageMb: 12, networkSent: 5e12, networkReceived: 7 };
    agent.send({ type: 'resource_stats', serverId: running.id, ...usage });
    for (const instance of [panel, other]) {
      const read = async () =>
        (await instance.get(`/api/servers/${running.id}/stats`, owner.token)).body.data;
      await expect.poll(async () => (await read()).sample, { timeout: 5000 }).not.toBe(null);
      const data = await read();
      expect(data).toMatchObject({
        status: 'running',
        sample: {
          cpuUsage: 150.13,
          memoryUsageMb: 400,
          diskUsageMb: 12,
          networkSent: 5e12,
          networkReceived: 7,
          measuredAt: expect.any(String),
        },
      });
      expect(data.uptimeSeconds).toBeGreaterThanOrEqual(60);
      expect(data.sample.ageSeconds).toBeGreaterThanOrEqual(0);
      expect(data.sample.ageSeconds).toBeLessThan(10);
    }
    await agent.disconnect();
  });
});

describe('GET /api/nodes/:nodeId/stats', () => {
  test('has what is given away of the node, against what it has and may give away', async () => {
    const full = await panel.createNode({
      maxMemoryMb: 1000,
      maxCpuCores: 4,
      memoryOverallocatePercent: 50,
      portRangeStart: 30_000,
      portRangeEnd: 30_009,
      isInMaintenance: true,
    });
    const { prisma } = panel.context.database;
    const first = await insertServer(panel, {
      nodeId: full.id,
      ownerId: owner.id,
      allocatedMemoryMb: 1100,
      allocatedCpuCores: 0.1,
    });
    const second = await insertServer(panel, {
      nodeId: full.id,
      ownerId: owner.id,
      allocatedMemoryMb: 100,
      allocatedCpuCores: 0.2,
      status: 'running',
    });
    await insertServer(panel, { nodeId: full.id, ownerId: owner.id, suspendedAt: new Date() });
    const port = { nodeId: full.id, containerPort: 1 };
    await prisma.allocation.createMany({
      data: [
        { ...port, serverId: first.id, hostPort: 30_001 },
        { ...port, serverId: second.id, hostPort: 30_002 },
        { ...port, serverId: second.id, hostPort: 25_565, hostIp: '192.0.2.7', containerPort: 2 },
      ],
    });
    const { body } = await panel.get(`/api/nodes/${full.id}/stats`, reader.token);
    expect(body).toEqual({
      success: true,
      data: {
        nodeId: full.id,
        isOnline: false,
        lastSeenAt: null,
        isInMaintenance: true,
        health: null,
        memoryMb: { total: 1000, overallocatePercent: 50, limit: 1500, allocated: 1712, available: 0 },
        cpuCores: { total: 4, overallocatePercent: 0, limit: 4, allocated: 1.3, available: 2.7 },
        diskMb: { total: null, overallocatePercent: 0, limit: null, allocated: 3072, available: null },
        ports: { rangeStart: 30_000, rangeEnd: 30_009, total: 10, used: 2, available: 8 },
        servers: { total: 3, byStatus: { stopped: 1, running: 1, suspended: 1 } },
      },
    });
  });

  test('has the last health report and how old it is, on every panel', async () => {
    const healthy = await panel.createNode();
    const agent = await panel.connectAgent(healthy);
    const report = {
      cpuPercent: 45.25,
      memoryUsageMb: 2048,
      memoryTotalMb: 8192,
      diskUsageMb: 512,
      diskTotalMb: 10_240,
      containerCount: 4,
      uptimeSeconds: 3600,
    };
    agent.send({ type: 'health_report', nodeId: healthy.id, ...report });
    for (const instance of [panel, other]) {
      const read = async () => (await instance.get(`/api/nodes/${healthy.id}/stats`, reader.token)).body.data;
      // The report and that the node was seen are stored side by side.
      await expect
        .poll(read, { timeout: 5000 })
        .toMatchObject({ isOnline: true, lastSeenAt: expect.any(String), health: report });
      const data = await read();
      expect(Date.parse(data.health.reportedAt)).toBeLessThanOrEqual(Date.now());
      expect(data.health.ageSeconds).toBeGreaterThanOrEqual(0);
      expect(data.health.ageSeconds).toBeLessThan(10);
    }
    await agent.disconnect();
  });
});
