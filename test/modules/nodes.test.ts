import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { startPanel, type TestUser } from '../helpers/panel.js';

const AGENT = { ipAddress: '192.0.2.2', userAgent: undefined };
let panel: PanelWithDoors;
let administrator: TestUser;
let reader: TestUser;
let user: TestUser;
let locationId: string;
beforeAll(async () => {
  panel = await startPanelWithDoors();
  administrator = await panel.createAdministrator();
  reader = await panel.createUser(['admin.read', 'server.read']);
  user = await panel.createUser();
  locationId = (await panel.createLocation()).id;
});
afterAll(() => panel.close());

function documented(fields: Record<string, unknown> = {}) {
  return {
    name: 'production-2',
    description: 'Second production node',
    locationId,
    hostname: 'node2.example.com',
    publicAddress: '192.168.1.101',
    maxMemoryMb: 65_536,
    maxCpuCores: 32,
    ...fields,
  };
}

async function createServer(nodeId: string, fields: Record<string, unknown> = {}) {
  const template = await panel.createTemplate();
  const answer = await panel.post(
    '/api/servers',
    {
      name: 'lobby',
      templateId: template.id,
      nodeId,
      allocatedMemoryMb: 1024,
      allocatedCpuCores: 2,
      allocatedDiskMb: 1024,
      ...fields,
    },
    administrator.token,
  );
  expect(answer.status).toBe(201);
  return answer.body.data as { id: string };
}

const ROUTES = [
  ['GET', '/api/nodes', undefined],
  ['POST', '/api/nodes', documented()],
  ['GET', '/api/nodes/x', undefined],
  ['PUT', '/api/nodes/x', {}],
  ['DELETE', '/api/nodes/x', undefined],
  ['POST', '/api/nodes/x/deployment-token', undefined],
] as const;

test.each(ROUTES)('%s %s is 401 without a token', async (method, url, body) => {
  expect((await panel.call(method, url, body)).status).toBe(401);
});

test.each(ROUTES.filter(([method]) => method !== 'GET'))(
  '%s %s is 403 for who may only read, before the body is looked at',
  async (method, url, body) => {
    for (const sent of [body, { nonsense: true }]) {
      expect((await panel.call(method, url, sent, reader.token)).body.code).toBe('permission.denied');
    }
  },
);

test.each(ROUTES.filter(([, url]) => url !== '/api/nodes'))(
  '%s %s is 404 for a node that does not exist',
  async (method, url, body) => {
    const answer = await panel.call(method, url, body, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([404, 'node.not_found']);
  },
);

describe('POST /api/nodes', () => {
  test.each([
    ['no memory', { maxMemoryMb: undefined }, 'body.maxMemoryMb'],
    ['memory as text', { maxMemoryMb: '4096' }, 'body.maxMemoryMb'],
    ['half a megabyte', { maxMemoryMb: 0.5 }, 'body.maxMemoryMb'],
    ['no megabyte', { maxMemoryMb: 0 }, 'body.maxMemoryMb'],
    ['more than the database holds', { maxMemoryMb: 2 ** 31 }, 'body.maxMemoryMb'],
    ['a number beyond all numbers', { maxCpuCores: 1e308 }, 'body.maxCpuCores'],
    ['a port of 0', { portRangeStart: 0 }, 'body.portRangeStart'],
    ['a port of 65536', { portRangeEnd: 65_536 }, 'body.portRangeEnd'],
    ['ports that end before they begin', { portRangeStart: 2000, portRangeEnd: 1999 }, 'body.portRangeEnd'],
    ['a host name with a shell in it', { hostname: '$(reboot)' }, 'body.hostname'],
    ['a secret of their own', { secret: 'mine' }, '"secret"'],
  ])('with %s is 400', async (_, fields, named) => {
    const answer = await panel.post('/api/nodes', documented(fields), administrator.token);
    expect(answer.status).toBe(400);
    expect(answer.body.message).toContain(named);
  });

  test('in a location that does not exist is 404', async () => {
    const answer = await panel.post('/api/nodes', documented({ locationId: 'nowhere' }), administrator.token);
    expect([answer.status, answer.body.code]).toEqual([404, 'location.not_found']);
  });

  test('answers 201 with the secret, which is stored sealed', async () => {
    const answer = await panel.post('/api/nodes', documented(), administrator.token);
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({
      success: true,
      data: { id: expect.any(String), name: 'production-2', secret: expect.stringMatching(/^ctn_.{43}$/) },
    });
    const { rows } = await panel.context.database.pool.query('SELECT * FROM "Node"');
    expect(JSON.stringify(rows)).not.toContain(answer.body.data.secret);
  });

  test('with a name that is taken is 409, also for 10 at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        panel.post('/api/nodes', documented({ name: 'race' }), administrator.token),
      ),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([201, ...Array.from({ length: 9 }, () => 409)]);
  });
});

describe('GET /api/nodes', () => {
  test('has all documented fields and never a secret', async () => {
    const node = await panel.createNode();
    const { body } = await panel.get('/api/nodes?limit=100', administrator.token);
    const listed = body.data.find(({ id }: { id: string }) => id === node.id);
    expect(listed).toEqual({
      id: node.id,
      name: expect.any(String),
      description: '',
      locationId: node.location.id,
      hostname: 'node.example.com',
      publicAddress: '192.0.2.1',
      maxMemoryMb: 32_768,
      maxCpuCores: 16,
      maxDiskMb: null,
      memoryOverallocatePercent: 0,
      cpuOverallocatePercent: 0,
      diskOverallocatePercent: 0,
      portRangeStart: 1024,
      portRangeEnd: 65_535,
      tags: [],
      isInMaintenance: false,
      isOnline: false,
      lastSeenAt: null,
      runtime: null,
      agentVersion: null,
      capabilities: [],
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
      servers: [],
    });
    expect(body.pagination).toMatchObject({ page: 1, limit: 100 });
    expect(JSON.stringify(body)).not.toContain(node.secret);
  });

  test('shows of a node the servers that the caller may read', async () => {
    const node = await panel.createNode();
    const server = await createServer(node.id);
    const owned = await createServer(node.id, { name: 'owned', ownerId: user.id });
    const shared = await createServer(node.id, { name: 'shared' });
    await panel.context.database.prisma.serverAccess.create({
      data: { userId: user.id, serverId: shared.id, permissions: ['server.read'] },
    });
    const hidden = await createServer(node.id, { name: 'hidden' });
    await panel.context.database.prisma.serverAccess.create({
      data: { userId: user.id, serverId: hidden.id, permissions: ['file.read'] },
    });
    async function seenBy(token: string) {
      const list = await panel.get('/api/nodes?limit=100', token);
      const details = await panel.get(`/api/nodes/${node.id}`, token);
      const listed = list.body.data.find(({ id }: { id: string }) => id === node.id);
      expect(details.body.data.servers).toEqual(listed.servers);
      return listed.servers as { id: string }[];
    }
    expect(await seenBy(user.token)).toEqual([
      { id: owned.id, name: 'owned', status: 'stopped' },
      { id: shared.id, name: 'shared', status: 'stopped' },
    ]);
    expect((await seenBy(reader.token)).map(({ id }) => id)).toEqual([
      server.id,
      owned.id,
      shared.id,
      hidden.id,
    ]);
  });

  test('shows a suspended server as suspended', async () => {
    const node = await panel.createNode();
    const server = await createServer(node.id);
    await panel.context.database.prisma.server.update({
      where: { id: server.id },
      data: { suspendedAt: new Date() },
    });
    const { body } = await panel.get(`/api/nodes/${node.id}`, administrator.token);
    expect(body.data.servers).toMatchObject([{ status: 'suspended' }]);
  });
});

describe('GET /api/nodes/:nodeId', () => {
  test('shows the secret to who may write, and to nobody else', async () => {
    const node = await panel.createNode();
    const url = `/api/nodes/${node.id}`;
    expect((await panel.get(url, administrator.token)).body.data.secret).toBe(node.secret);
    for (const { token } of [reader, user]) {
      const { body } = await panel.get(url, token);
      expect(body.data).toMatchObject({ id: node.id, updatedAt: expect.any(String) });
      expect(body.data).not.toHaveProperty('secret');
    }
  });

  test('is online while an agent is connected and was heard of lately', async () => {
    const node = await panel.createNode();
    const read = async () => (await panel.get(`/api/nodes/${node.id}`, user.token)).body.data;
    expect((await read()).isOnline).toBe(false);
    const agent = await panel.connect({ nodeId: node.id, token: node.secret });
    await expect.poll(async () => (await read()).isOnline).toBe(true);
    expect((await read()).lastSeenAt).toMatch(/Z$/);
    await panel.context.database.prisma.node.update({
      where: { id: node.id },
      data: { lastSeenAt: new Date(Date.now() - 91_000) },
    });
    expect((await read()).isOnline).toBe(false);
    await panel.context.nodes.recordSeen(node.id);
    expect((await read()).isOnline).toBe(true);
    await agent.disconnect();
    await expect.poll(async () => (await read()).isOnline).toBe(false);
  });

  test('says the same as its servers, also when the agent is connected to another panel', async () => {
    const node = await panel.createNode();
    const server = await createServer(node.id);
    const answers = async () => [
      (await panel.get(`/api/nodes/${node.id}`, administrator.token)).body.data.isOnline,
      !(await panel.get(`/api/servers/${server.id}`, administrator.token)).body.data.statusStale,
    ];
    const write = (isOnline: boolean, ageMs: number) =>
      panel.context.database.prisma.node.update({
        where: { id: node.id },
        data: { isOnline, lastSeenAt: new Date(Date.now() - ageMs) },
      });
    await write(true, 1000);
    expect(await answers()).toEqual([true, true]);
    await write(true, 91_000);
    expect(await answers()).toEqual([false, false]);
    await write(false, 1000);
    expect(await answers()).toEqual([false, false]);
  });

  test('stays online when its agent has come back to another panel before this one noticed', async () => {
    const other = await startPanelWithDoors({ database: panel.database });
    const node = await panel.createNode();
    const isOnline = async () =>
      (await panel.context.database.prisma.node.findUniqueOrThrow({ where: { id: node.id } })).isOnline;
    const before = await panel.connectAgent(node);
    await expect.poll(isOnline).toBe(true);
    const { lastSeenAt } = (await panel.get(`/api/nodes/${node.id}`, user.token)).body.data;
    const after = await other.connectAgent(node);
    await expect
      .poll(async () => (await panel.get(`/api/nodes/${node.id}`, user.token)).body.data.lastSeenAt)
      .not.toBe(lastSeenAt);
    const left = once(panel.context.bus, 'node.disconnected');
    await before.disconnect();
    await left;
    expect(await isOnline()).toBe(true);
    await after.disconnect();
    await expect.poll(isOnline).toBe(false);
    await other.close();
  });

  test('says what the agent said of itself', async () => {
    const node = await panel.createNode();
    const { nodes } = panel.context;
    await nodes.recordConnected(node.id, { runtime: 'process', agentVersion: '1.2', capabilities: ['x'] });
    const { body } = await panel.get(`/api/nodes/${node.id}`, user.token);
    expect(body.data).toMatchObject({ runtime: 'process', agentVersion: '1.2', capabilities: ['x'] });
    await nodes.recordDisconnected(node.id);
  });
});

describe('presence', () => {
  test('a node that missed three heartbeats is marked offline, once', async () => {
    const node = await panel.createNode();
    const { nodes, bus } = panel.context;
    await nodes.recordSeen(node.id);
    const told: string[] = [];
    bus.on('node.disconnected', ({ nodeId }) => told.push(nodeId));
    expect(await nodes.markStaleOffline(new Date(Date.now() + 80_000))).toEqual([]);
    expect(await nodes.markStaleOffline(new Date(Date.now() + 100_000))).toEqual([node.id]);
    expect(await nodes.markStaleOffline(new Date(Date.now() + 100_000))).toEqual([]);
    expect(told).toEqual([node.id]);
  });

  test('whatever a health report claims, it is stored', async () => {
    const node = await panel.createNode();
    await panel.context.nodes.recordHealth(node.id, {
      type: 'health_report',
      nodeId: node.id,
      cpuPercent: 12.5,
      memoryUsageMb: 1024.4,
      memoryTotalMb: 1e300,
      diskUsageMb: 0,
      diskTotalMb: 1,
      containerCount: Number.MAX_SAFE_INTEGER,
      uptimeSeconds: 1e300,
    });
    const row = await panel.context.database.prisma.node.findUniqueOrThrow({ where: { id: node.id } });
    expect(row).toMatchObject({ cpuPercent: 12.5, memoryUsageMb: 1024, memoryTotalMb: 2_147_483_647 });
  });
});

describe('PUT /api/nodes/:nodeId', () => {
  test('changes what is given and answers the node, with its secret as to every administrator', async () => {
    const node = await panel.createNode();
    const answer = await panel.put(
      `/api/nodes/${node.id}`,
      { name: 'production-1-updated', maxMemoryMb: 65_536 },
      administrator.token,
    );
    expect(answer.status).toBe(200);
    expect(answer.body.data).toMatchObject({
      name: 'production-1-updated',
      maxMemoryMb: 65_536,
      maxCpuCores: 16,
    });
    expect(answer.body.data.secret).toBe(node.secret);
  });

  test('refuses to change what is not a setting, and port ranges that make no sense', async () => {
    const node = await panel.createNode();
    const url = `/api/nodes/${node.id}`;
    expect((await panel.put(url, { isOnline: true }, administrator.token)).status).toBe(400);
    expect((await panel.put(url, { portRangeStart: 2000 }, administrator.token)).status).toBe(200);
    expect((await panel.put(url, { portRangeEnd: 1999 }, administrator.token)).status).toBe(400);
    const nowhere = await panel.put(url, { locationId: 'nowhere' }, administrator.token);
    expect([nowhere.status, nowhere.body.code]).toEqual([404, 'location.not_found']);
  });

  test('never makes a node smaller than what its servers hold: 409', async () => {
    const node = await panel.createNode();
    await createServer(node.id, { primaryPort: 25_565, portBindings: { '25565': 30_000 } });
    const url = `/api/nodes/${node.id}`;
    for (const limits of [
      { maxMemoryMb: 1023 },
      { maxCpuCores: 1.9 },
      { maxDiskMb: 1023 },
      { portRangeStart: 30_001 },
      { portRangeEnd: 29_999 },
    ]) {
      const answer = await panel.put(url, limits, administrator.token);
      expect([limits, answer.status, answer.body.code]).toEqual([limits, 409, 'node.below_allocated']);
    }
    const exact = { maxMemoryMb: 1024, maxCpuCores: 2, maxDiskMb: 1024 };
    expect((await panel.put(url, exact, administrator.token)).status).toBe(200);
  });
});

describe('DELETE /api/nodes/:nodeId', () => {
  test('is 400 while it has servers', async () => {
    const node = await panel.createNode();
    await createServer(node.id);
    const answer = await panel.delete(`/api/nodes/${node.id}`, administrator.token);
    expect(answer).toMatchObject({
      status: 400,
      body: { code: 'node.has_servers', message: 'Cannot delete node with active servers' },
    });
  });

  test('deletes the node and sends its agent away', async () => {
    const node = await panel.createNode();
    const agent = await panel.connect({ nodeId: node.id, token: node.secret });
    await expect.poll(() => panel.context.agents.isConnected(node.id)).toBe(true);
    const answer = await panel.delete(`/api/nodes/${node.id}`, administrator.token);
    expect([answer.status, answer.body]).toEqual([200, { success: true }]);
    expect(await agent.closed()).toMatchObject({ code: 4401 });
    expect(await panel.context.nodes.authenticateAgent({ nodeId: node.id, token: node.secret })).toBe(null);
  });
});

describe('POST /api/nodes/:nodeId/deployment-token', () => {
  test('answers as documented, with the address under which the caller reached the panel', async () => {
    const node = await panel.createNode();
    const answer = await panel.app.inject({
      method: 'POST',
      url: `/api/nodes/${node.id}/deployment-token`,
      headers: { authorization: `Bearer ${administrator.token}`, host: 'panel.example.com:3000' },
    });
    expect(answer.statusCode).toBe(200);
    const { data } = answer.json();
    expect(data).toEqual({
      deploymentToken: expect.stringMatching(/^ctd_.{43}$/),
      secret: node.secret,
      deployUrl: `http://panel.example.com:3000/api/deploy/${data.deploymentToken}`,
      expiresAt: expect.any(String),
    });
    const hours = (Date.parse(data.expiresAt) - Date.now()) / 3_600_000;
    expect(hours).toBeGreaterThan(0.99);
    expect(hours).toBeLessThanOrEqual(1);
  });

  test('refuses a Host header that is no host, and prefers PUBLIC_URL', async () => {
    const node = await panel.createNode();
    const answer = await panel.app.inject({
      method: 'POST',
      url: `/api/nodes/${node.id}/deployment-token`,
      headers: { authorization: `Bearer ${administrator.token}`, host: "x'$(reboot)'" },
    });
    expect(answer.statusCode).toBe(400);
    const known = await startPanel({ settings: { PUBLIC_URL: 'https://panel.example.com/' } });
    const knownNode = await known.createNode();
    const { token } = await known.createAdministrator();
    const { body } = await known.post(`/api/nodes/${knownNode.id}/deployment-token`, undefined, token);
    expect(body.data.deployUrl).toMatch(/^https:\/\/panel\.example\.com\/api\/deploy\/ctd_/);
    await known.close();
  });
});

describe('what agents prove their node with', () => {
  async function tokenOf(nodeId: string): Promise<string> {
    const { body } = await panel.post(`/api/nodes/${nodeId}/deployment-token`, {}, administrator.token);
    return body.data.deploymentToken as string;
  }

  test('the secret of the node, and of no other', async () => {
    const [one, two] = [await panel.createNode(), await panel.createNode()];
    const { nodes } = panel.context;
    expect(await nodes.authenticateAgent({ nodeId: one.id, token: one.secret })).toEqual({
      kind: 'secret',
      secretVersion: expect.any(String),
    });
    for (const token of [two.secret, '', 'x', one.secret.slice(1)]) {
      expect(await nodes.authenticateAgent({ nodeId: one.id, token })).toBe(null);
    }
  });

  test('a deployment token of the node: of 10 that redeem it at once one gets the secret', async () => {
    const [node, other] = [await panel.createNode(), await panel.createNode()];
    const { nodes } = panel.context;
    const token = await tokenOf(node.id);
    expect(await nodes.authenticateAgent({ nodeId: other.id, token })).toBe(null);
    const credential = await nodes.authenticateAgent({ nodeId: node.id, token });
    if (credential?.kind !== 'deployment-token') throw new Error('the token was not accepted');
    const secrets = await Promise.all(
      Array.from({ length: 10 }, () => nodes.redeemDeploymentToken(credential.tokenId, AGENT)),
    );
    expect(secrets.flatMap((found) => found?.secret ?? [])).toEqual([node.secret]);
    expect(await nodes.authenticateAgent({ nodeId: node.id, token })).toBe(null);
  });

  test('not an expired one', async () => {
    const node = await panel.createNode();
    const { nodes, database } = panel.context;
    const token = await tokenOf(node.id);
    const credential = await nodes.authenticateAgent({ nodeId: node.id, token });
    await database.prisma.deploymentToken.updateMany({
      where: { nodeId: node.id },
      data: { expiresAt: new Date(0) },
    });
    expect(await nodes.authenticateAgent({ nodeId: node.id, token })).toBe(null);
    if (credential?.kind !== 'deployment-token') throw new Error('the token was not accepted');
    expect(await nodes.redeemDeploymentToken(credential.tokenId, AGENT)).toBe(null);
  });
});
