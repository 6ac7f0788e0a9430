import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiKey } from '../helpers/accounts.js';
import { insertPool } from '../helpers/nodes.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

let panel: Panel;
let administrator: TestUser;
let user: TestUser;
beforeAll(async () => {
  panel = await startPanel();
  administrator = await panel.createAdministrator();
  user = await panel.createUser();
});
afterAll(() => panel.close());

function auditOf(nodeId: string) {
  return panel.context.database.prisma.auditLog.findMany({
    where: { resourceType: 'node', resourceId: nodeId },
    orderBy: { id: 'asc' },
  });
}

describe('the settings of a node', () => {
  test.each([
    [
      'memory over-allocated by less than nothing',
      { memoryOverallocatePercent: -1 },
      'body.memoryOverallocatePercent',
    ],
    [
      'CPU over-allocated a hundred times and more',
      { cpuOverallocatePercent: 10_001 },
      'body.cpuOverallocatePercent',
    ],
    ['half a percent', { diskOverallocatePercent: 0.5 }, 'body.diskOverallocatePercent'],
    ['one tag that is no list', { tags: 'ssd' }, 'body.tags'],
    ['a tag with a space', { tags: ['a b'] }, 'body.tags.0'],
    ['an empty tag', { tags: [''] }, 'body.tags.0'],
    ['a tag of 33 characters', { tags: ['x'.repeat(33)] }, 'body.tags.0'],
    ['a tag twice', { tags: ['ssd', 'ssd'] }, 'body.tags'],
    ['21 tags', { tags: Array.from({ length: 21 }, (_, index) => `t${index}`) }, 'body.tags'],
    ['maintenance as a word', { isInMaintenance: 'yes' }, 'body.isInMaintenance'],
  ])('with %s are 400', async (_, fields, named) => {
    const node = await panel.createNode();
    const answer = await panel.put(`/api/nodes/${node.id}`, fields, administrator.token);
    expect(answer.status).toBe(400);
    expect(answer.body.message).toContain(named);
    expect(await auditOf(node.id)).toHaveLength(1);
  });

  test('are in every answer about it', async () => {
    const settings = {
      memoryOverallocatePercent: 10_000,
      cpuOverallocatePercent: 50,
      diskOverallocatePercent: 0,
      tags: ['ssd', 'größe:XL', 'zone-1.a'],
      isInMaintenance: true,
    };
    const node = await panel.createNode(settings);
    expect((await panel.get(`/api/nodes/${node.id}`, user.token)).body.data).toMatchObject(settings);
    const changed = await panel.put(
      `/api/nodes/${node.id}`,
      { tags: [], isInMaintenance: false },
      administrator.token,
    );
    expect(changed.body.data).toMatchObject({ ...settings, tags: [], isInMaintenance: false });
  });

  test('a node shrinks to what its servers hold when so much more may be given away, and not below', async () => {
    const node = await panel.createNode({ maxMemoryMb: 2048 });
    await insertServer(panel, { nodeId: node.id, ownerId: user.id, allocatedMemoryMb: 1500 });
    const put = (fields: object) => panel.put(`/api/nodes/${node.id}`, fields, administrator.token);
    expect((await put({ maxMemoryMb: 1000 })).body.code).toBe('node.below_allocated');
    expect((await put({ maxMemoryMb: 1000, memoryOverallocatePercent: 49 })).body.code).toBe(
      'node.below_allocated',
    );
    expect((await put({ maxMemoryMb: 1000, memoryOverallocatePercent: 50 })).status).toBe(200);
    expect((await put({ memoryOverallocatePercent: 49 })).body.code).toBe('node.below_allocated');
    expect((await put({ name: `still ${node.id}` })).status).toBe(200);
  });

  test('a change that changes nothing is no change', async () => {
    const settings = { tags: ['a', 'b'], maxDiskMb: 1000, isInMaintenance: true };
    const node = await panel.createNode(settings);
    const before = (await panel.get(`/api/nodes/${node.id}`, administrator.token)).body.data;
    for (const same of [{}, settings]) {
      const answer = await panel.put(`/api/nodes/${node.id}`, same, administrator.token);
      expect(answer).toMatchObject({ status: 200, body: { data: before } });
    }
    expect(await auditOf(node.id)).toHaveLength(1);
  });

  test('each change is in the audit log, without secrets, and goes with the change', async () => {
    const node = await panel.createNode({ tags: ['a'] });
    const url = `/api/nodes/${node.id}`;
    await panel.put(url, { tags: ['b'], maxMemoryMb: 32_768, description: 'Rack 3' }, administrator.token);
    await panel.put(url, { portRangeStart: 2, portRangeEnd: 1 }, administrator.token);
    await panel.put(url, { locationId: 'nowhere' }, administrator.token);
    await panel.delete(url, administrator.token);
    const rows = await auditOf(node.id);
    expect(rows.map(({ action }) => action)).toEqual(['node.create', 'node.update', 'node.delete']);
    expect(rows[0]?.metadata).toMatchObject({ after: { maxMemoryMb: 32_768, tags: ['a'] } });
    expect(rows[1]).toMatchObject({
      userId: administrator.id,
      username: administrator.username,
      metadata: {
        before: { tags: ['a'], description: '' },
        after: { tags: ['b'], description: 'Rack 3' },
      },
    });
    expect(rows[2]?.metadata).toMatchObject({ nodeName: expect.stringMatching(/^node /) });
    expect(JSON.stringify(rows.map(({ metadata }) => metadata))).not.toContain(node.secret);
  });
});

describe('DELETE /api/nodes/:nodeId', () => {
  test('takes the IP pools and deployment tokens of the node with it', async () => {
    const { prisma } = panel.context.database;
    const node = await panel.createNode();
    const pool = await insertPool(panel, node.id);
    await panel.post(`/api/nodes/${node.id}/deployment-token`, undefined, administrator.token);
    expect((await panel.delete(`/api/nodes/${node.id}`, administrator.token)).status).toBe(200);
    expect(await prisma.ipPool.count({ where: { id: pool.id } })).toBe(0);
    expect(await prisma.deploymentToken.count({ where: { nodeId: node.id } })).toBe(0);
  });

  test('refused because of a server, it leaves the IP pools alone', async () => {
    const { prisma } = panel.context.database;
    const node = await panel.createNode();
    const pool = await insertPool(panel, node.id);
    const server = await insertServer(panel, { nodeId: node.id, ownerId: user.id });
    await prisma.ipAllocation.create({ data: { poolId: pool.id, serverId: server.id, ip: '192.0.2.2' } });
    const answer = await panel.delete(`/api/nodes/${node.id}`, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([400, 'node.has_servers']);
    expect(await prisma.ipPool.count({ where: { id: pool.id } })).toBe(1);
    expect((await auditOf(node.id)).map(({ action }) => action)).toEqual(['node.create']);
  });
});

describe('an API key', () => {
  test('that does not let admin.write through is shown no secret', async () => {
    const node = await panel.createNode();
    const narrow = await createApiKey(panel, administrator.token, { permissions: ['admin.read'] });
    const wide = await createApiKey(panel, administrator.token, { permissions: ['admin.*'] });
    const url = `/api/nodes/${node.id}`;
    expect((await panel.get(url, narrow.key)).body.data).not.toHaveProperty('secret');
    expect((await panel.get(url, wide.key)).body.data.secret).toBe(node.secret);
    expect((await panel.put(url, { description: 'x' }, narrow.key)).body.code).toBe('permission.denied');
  });

  test('that does not let server.read through sees no servers, not even those of its user', async () => {
    const node = await panel.createNode();
    await insertServer(panel, { nodeId: node.id, ownerId: user.id });
    const names = async (token: string) => {
      const { body } = await panel.get(`/api/nodes/${node.id}`, token);
      const list = await panel.get('/api/nodes?limit=100', token);
      const listed = list.body.data.find(({ id }: { id: string }) => id === node.id);
      expect(listed.servers).toEqual(body.data.servers);
      return body.data.servers.map(({ name }: { name: string }) => name);
    };
    expect(await names(user.token)).toEqual(['a server']);
    for (const owner of [user, administrator]) {
      const reading = await createApiKey(panel, owner.token, { permissions: ['server.read'] });
      const starting = await createApiKey(panel, owner.token, { permissions: ['server.start'] });
      expect(await names(reading.key)).toEqual(['a server']);
      expect(await names(starting.key)).toEqual([]);
    }
  });
});

describe('GET /api/nodes', () => {
  test.each([
    ['an unknown filter', 'name=x'],
    ['isOnline that is neither', 'isOnline=1'],
    ['an unknown order', 'order=up'],
    ['a sort by a secret', 'sort=secretEncrypted'],
    ['a search that is too long', `search=${'x'.repeat(101)}`],
  ])('with %s is 400', async (_, query) => {
    expect((await panel.get(`/api/nodes?${query}`, user.token)).status).toBe(400);
  });

  test('filters by place, tag, presence and text, and sorts', async () => {
    const { prisma } = panel.context.database;
    const location = await panel.createLocation();
    const make = async (name: string, fields: Record<string, unknown>, columns = {}) => {
      const { id } = await panel.createNode({ name, locationId: location.id, ...fields });
      await prisma.node.update({ where: { id }, data: columns });
    };
    const now = Date.now();
    await make(
      'alpha 100%',
      { tags: ['ssd', 'eu'], maxMemoryMb: 300 },
      { isOnline: true, lastSeenAt: new Date() },
    );
    await make('beta', { tags: ['eu'], maxMemoryMb: 100, hostname: 'special.example.com' });
    await make(
      'gamma 100x',
      { maxMemoryMb: 200, description: 'A rack' },
      { isOnline: true, lastSeenAt: new Date(now - 100_000) },
    );
    await panel.createNode({ name: 'elsewhere', tags: ['ssd'] });
    const names = async (query: string) => {
      const { body } = await panel.get(`/api/nodes?locationId=${location.id}&${query}`, user.token);
      expect(body.pagination.total).toBe(body.data.length);
      return body.data.map(({ name }: { name: string }) => name);
    };
    expect(await names('')).toEqual(['alpha 100%', 'beta', 'gamma 100x']);
    expect(await names('order=desc')).toEqual(['gamma 100x', 'beta', 'alpha 100%']);
    expect(await names('sort=maxMemoryMb')).toEqual(['beta', 'gamma 100x', 'alpha 100%']);
    expect(await names('sort=createdAt&order=desc')).toEqual(['gamma 100x', 'beta', 'alpha 100%']);
    expect(await names('sort=lastSeenAt&order=desc')).toEqual(['alpha 100%', 'gamma 100x', 'beta']);
    expect(await names('tag=eu')).toEqual(['alpha 100%', 'beta']);
    expect(await names('tag=nowhere')).toEqual([]);
    expect(await names('isOnline=true')).toEqual(['alpha 100%']);
    expect(await names('isOnline=false')).toEqual(['beta', 'gamma 100x']);
    expect(await names('isOnline=false&search=RACK')).toEqual(['gamma 100x']);
    expect(await names('search=special.example')).toEqual(['beta']);
    expect(await names('search=100%25')).toEqual(['alpha 100%']);
    expect(await names('tag=eu&isOnline=false')).toEqual(['beta']);
  });
});

test('with two panels a node is never smaller than what its servers hold, whoever is first', async () => {
  const other = await startPanel({ database: panel.database });
  const template = await panel.createTemplate();
  for (let round = 0; round < 5; round += 1) {
    const node = await panel.createNode({ maxMemoryMb: 2048 });
    const creations = Array.from({ length: 4 }, (_, index) =>
      (index % 2 ? panel : other).post(
        '/api/servers',
        {
          name: 'racer',
          templateId: template.id,
          nodeId: node.id,
          allocatedMemoryMb: 512,
          allocatedCpuCores: 1,
          allocatedDiskMb: 1,
        },
        administrator.token,
      ),
    );
    const shrinking = other.put(`/api/nodes/${node.id}`, { maxMemoryMb: 1024 }, administrator.token);
    await Promise.all([...creations, shrinking]);
    const { maxMemoryMb, servers } = await panel.context.database.prisma.node.findUniqueOrThrow({
      where: { id: node.id },
      select: { maxMemoryMb: true, servers: { select: { allocatedMemoryMb: true } } },
    });
    const heldMb = servers.reduce((sum, { allocatedMemoryMb }) => sum + allocatedMemoryMb, 0);
    expect(heldMb).toBeLessThanOrEqual(maxMemoryMb);
    expect((await shrinking).status === 200).toBe(maxMemoryMb === 1024);
  }
  await other.close();
});
