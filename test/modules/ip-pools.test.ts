import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiKey } from '../helpers/accounts.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

let panel: Panel;
let other: Panel;
let administrator: TestUser;
let reader: TestUser;
let creator: TestUser;
let user: TestUser;
beforeAll(async () => {
  panel = await startPanel();
  other = await startPanel({ database: panel.database });
  administrator = await panel.createAdministrator();
  reader = await panel.createUser(['admin.read']);
  creator = await panel.createUser(['server.create']);
  user = await panel.createUser();
});
afterAll(async () => {
  await other.close();
  await panel.close();
});

const POOLS = '/api/admin/ip-pools';

function poolOn(nodeId: string, fields: Record<string, unknown> = {}) {
  return { nodeId, name: 'Players', networkName: 'players', cidr: '192.0.2.0/28', ...fields };
}

async function createPool(nodeId: string, fields: Record<string, unknown> = {}): Promise<{ id: string }> {
  const answer = await panel.post(POOLS, poolOn(nodeId, fields), administrator.token);
  expect(answer.text).toContain('"success":true');
  return answer.body.data;
}

async function holdAddress(nodeId: string, poolId: string, ip: string): Promise<{ id: string }> {
  const server = await insertServer(panel, { nodeId, ownerId: user.id, networkMode: 'players' });
  await panel.context.database.prisma.ipAllocation.create({ data: { poolId, serverId: server.id, ip } });
  return server;
}

const READING = [
  ['GET', POOLS],
  ['GET', `${POOLS}/x`],
  ['GET', `${POOLS}/x/allocations`],
] as const;
const WRITING = [
  ['POST', POOLS],
  ['PUT', `${POOLS}/x`],
  ['DELETE', `${POOLS}/x`],
] as const;

test.each([...READING, ...WRITING, ['GET', '/api/nodes/x/ip-availability'] as const])(
  '%s %s is 401 without a token',
  async (method, url) => {
    expect((await panel.call(method, url)).status).toBe(401);
  },
);

test.each([...READING, ...WRITING])('%s %s is 403 for who is no administrator', async (method, url) => {
  expect((await panel.call(method, url, undefined, creator.token)).body.code).toBe('permission.denied');
});

test.each(WRITING)(
  '%s %s is 403 for who may only read, before the body is looked at',
  async (method, url) => {
    const { key } = await createApiKey(panel, administrator.token, { permissions: ['admin.read'] });
    for (const token of [reader.token, key]) {
      const answer = await panel.call(method, url, { nonsense: true }, token);
      expect(answer.body.code).toBe('permission.denied');
    }
  },
);

test('an API key narrowed to writing creates, changes and deletes, and is answered', async () => {
  const node = await panel.createNode();
  const { key } = await createApiKey(panel, administrator.token, { permissions: ['admin.write'] });
  const created = await panel.post(POOLS, poolOn(node.id), key);
  expect(created.status).toBe(201);
  const url = `${POOLS}/${created.body.data.id}`;
  expect((await panel.put(url, { name: 'Others' }, key)).body.data.name).toBe('Others');
  expect((await panel.get(url, key)).body.code).toBe('permission.denied');
  expect((await panel.delete(url, key)).status).toBe(200);
});

test.each([
  ['GET', `${POOLS}/x`, undefined],
  ['GET', `${POOLS}/x/allocations`, undefined],
  ['PUT', `${POOLS}/x`, {}],
  ['DELETE', `${POOLS}/x`, undefined],
])('%s %s is 404 for a pool that does not exist', async (method, url, body) => {
  const answer = await panel.call(method, url, body, administrator.token);
  expect([answer.status, answer.body.code]).toEqual([404, 'ip_pool.not_found']);
});

describe('POST /api/admin/ip-pools', () => {
  test.each<[string, Record<string, unknown>, string]>([
    ['no network', { cidr: undefined }, 'body.cidr'],
    ['a network that is none', { cidr: '192.0.2.0' }, 'body.cidr'],
    ['bits of the host', { cidr: '192.0.2.5/28' }, '192.0.2.0/28 is'],
    ['bits of the host in IPv6', { cidr: '2001:db8::1/64' }, '2001:db8::/64 is'],
    ['a prefix that is too long', { cidr: '192.0.2.0/33' }, 'body.cidr'],
    ['a network without free addresses', { cidr: '192.0.2.0/30', reserved: ['192.0.2.2'] }, 'body.cidr'],
    ['a gateway that is none', { gateway: 'router' }, 'body.gateway'],
    ['a gateway elsewhere', { gateway: '192.0.2.16' }, 'body.gateway'],
    ['a gateway of the other family', { gateway: '2001:db8::1' }, 'body.gateway'],
    ['a start elsewhere', { startIp: '192.0.3.1' }, 'body.startIp'],
    ['an end elsewhere', { endIp: '192.0.3.1' }, 'body.endIp'],
    ['an end before the start', { startIp: '192.0.2.9', endIp: '192.0.2.8' }, 'body.endIp'],
    ['reserved addresses elsewhere', { reserved: ['192.0.2.1', '192.0.2.17'] }, 'body.reserved'],
    ['a reserved network that is larger', { reserved: ['192.0.2.0/27'] }, 'body.reserved'],
    ['a reserved word', { reserved: ['x'] }, 'body.reserved'],
    ["Docker's own network", { networkName: 'bridge' }, 'body.networkName'],
    ['the network of the host', { networkName: 'HOST' }, 'body.networkName'],
    ['a network name with a slash', { networkName: 'a/b' }, 'body.networkName'],
    ['the network of a container', { networkName: 'container:x' }, 'body.networkName'],
    ['an unknown driver', { driver: 'overlay' }, 'body.driver'],
    ['macvlan on nothing', { driver: 'macvlan' }, 'body.parentInterface'],
    ['ipvlan on nothing', { driver: 'ipvlan', parentInterface: null }, 'body.parentInterface'],
    [
      'an interface name that Linux refuses',
      { driver: 'macvlan', parentInterface: 'a b' },
      'body.parentInterface',
    ],
    ['a bridge on an interface', { parentInterface: 'eth0' }, 'body.parentInterface'],
    ['an unknown field', { subnet: 'x' }, '"subnet"'],
  ])('with %s is 400', async (_, fields, named) => {
    const node = await panel.createNode();
    const answer = await panel.post(POOLS, poolOn(node.id, fields), administrator.token);
    expect(answer.status).toBe(400);
    expect(answer.body.message).toContain(named);
    expect(await panel.context.database.prisma.ipPool.count({ where: { nodeId: node.id } })).toBe(0);
  });

  test('on a node that does not exist is 404', async () => {
    const answer = await panel.post(POOLS, poolOn('nowhere'), administrator.token);
    expect([answer.status, answer.body.code]).toEqual([404, 'node.not_found']);
  });

  test('answers 201 with everything, in its canonical form', async () => {
    const node = await panel.createNode({ name: 'the node of pools' });
    const answer = await panel.post(
      POOLS,
      poolOn(node.id, {
        description: 'Rack 3',
        driver: 'macvlan',
        parentInterface: 'eth0.50',
        cidr: '2001:0DB8:0::/64',
        gateway: '2001:db8:0:0::1',
        startIp: '2001:DB8::10',
        endIp: '2001:db8::ffff',
        reserved: ['2001:db8::0020', '2001:db8::20', '2001:db8::100/120'],
      }),
      administrator.token,
    );
    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({
      success: true,
      data: {
        id: expect.any(String),
        nodeId: node.id,
        nodeName: 'the node of pools',
        name: 'Players',
        description: 'Rack 3',
        networkName: 'players',
        driver: 'macvlan',
        parentInterface: 'eth0.50',
        cidr: '2001:db8::/64',
        gateway: '2001:db8::1',
        startIp: '2001:db8::10',
        endIp: '2001:db8::ffff',
        reserved: ['2001:db8::20', '2001:db8::100/120'],
        addresses: { total: 65_520, used: 0, reserved: 257, available: 65_263 },
        createdAt: expect.any(String),
        updatedAt: expect.any(String),
      },
    });
    const url = `${POOLS}/${answer.body.data.id}`;
    expect((await panel.get(url, reader.token)).body).toEqual(answer.body);
  });

  test('counts no further than JSON can', async () => {
    const node = await panel.createNode();
    const { id } = await createPool(node.id, { cidr: '2001:db8::/32' });
    const { body } = await panel.get(`${POOLS}/${id}`, reader.token);
    const most = Number.MAX_SAFE_INTEGER;
    expect(body.data.addresses).toEqual({ total: most, used: 0, reserved: 1, available: most });
  });

  test('of a network that overlaps with another of the node is 409, on another node it is not', async () => {
    const [node, elsewhere] = [await panel.createNode(), await panel.createNode()];
    await createPool(node.id, { cidr: '10.0.0.0/16' });
    const overlapping = poolOn(node.id, { networkName: 'more', cidr: '10.0.7.0/24' });
    const answer = await panel.post(POOLS, overlapping, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([409, 'ip_pool.overlap']);
    expect(answer.body.message).toContain('10.0.0.0/16');
    await createPool(elsewhere.id, { cidr: '10.0.7.0/24' });
    await createPool(node.id, { networkName: 'v6', cidr: '2001:db8::/64' });
  });

  test('of a network that another pool of the node has is 409', async () => {
    const node = await panel.createNode();
    await createPool(node.id);
    const again = poolOn(node.id, { cidr: '198.51.100.0/24' });
    const answer = await panel.post(POOLS, again, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([409, 'ip_pool.name_taken']);
  });

  test('of 10 overlapping ones at once, on two panels, one is made', async () => {
    const node = await panel.createNode();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        (index % 2 ? panel : other).post(
          POOLS,
          poolOn(node.id, { networkName: `net-${index}`, cidr: index % 3 ? '10.1.0.0/16' : '10.1.2.0/24' }),
          administrator.token,
        ),
      ),
    );
    const codes = answers.map(({ status, body }) => body.code ?? status);
    expect(codes.filter((code) => code === 201)).toHaveLength(1);
    expect(codes.filter((code) => code === 'ip_pool.overlap')).toHaveLength(9);
  });
});

describe('GET /api/admin/ip-pools', () => {
  test('lists the pools of all nodes or of one, and finds them', async () => {
    const node = await panel.createNode();
    await createPool(node.id, { name: 'B_1', networkName: 'b1', cidr: '10.2.0.0/24' });
    await createPool(node.id, { name: 'AX1', networkName: 'a1', cidr: '10.3.0.0/24' });
    const names = async (query: string) => {
      const { body } = await panel.get(`${POOLS}?nodeId=${node.id}&${query}`, reader.token);
      return body.data.map(({ name }: { name: string }) => name);
    };
    expect(await names('')).toEqual(['AX1', 'B_1']);
    expect(await names('limit=1&page=2')).toEqual(['B_1']);
    expect(await names('search=_1')).toEqual(['B_1']);
    expect(await names('search=10.3.')).toEqual(['AX1']);
    expect((await panel.get(`${POOLS}?limit=100`, reader.token)).body.data.length).toBeGreaterThan(2);
    expect((await panel.get(`${POOLS}?node=x`, reader.token)).status).toBe(400);
  });
});

describe('PUT /api/admin/ip-pools/:poolId', () => {
  test('changes what is given, as long as it fits what stays', async () => {
    const [node, second] = [await panel.createNode(), await panel.createNode()];
    const { id } = await createPool(node.id, { gateway: '192.0.2.1' });
    const put = (body: object) => panel.put(`${POOLS}/${id}`, body, administrator.token);
    expect((await put({ cidr: '198.51.100.0/24' })).body).toMatchObject({
      code: 'ip_pool.invalid',
      message: expect.stringContaining('body.gateway'),
    });
    expect((await put({ driver: 'macvlan' })).status).toBe(400);
    expect((await put({ nodeId: 'nowhere' })).body.code).toBe('node.not_found');
    expect((await put({ id: 'x' })).status).toBe(400);
    const changes = { cidr: '198.51.100.0/24', gateway: null, name: 'Moved', nodeId: second.id };
    expect((await put(changes)).body.data).toMatchObject({ ...changes, networkName: 'players', id });
  });

  test('onto the network or the addresses of another pool is 409', async () => {
    const node = await panel.createNode();
    await createPool(node.id);
    const { id } = await createPool(node.id, { networkName: 'second', cidr: '10.0.0.0/24' });
    const put = (body: object) => panel.put(`${POOLS}/${id}`, body, administrator.token);
    expect((await put({ networkName: 'players' })).body.code).toBe('ip_pool.name_taken');
    expect((await put({ cidr: '192.0.2.0/24' })).body.code).toBe('ip_pool.overlap');
    expect((await put({ cidr: '10.0.0.0/16' })).status).toBe(200);
  });

  test('takes nothing from servers that hold addresses: 409', async () => {
    const [node, second] = [await panel.createNode(), await panel.createNode()];
    const { id } = await createPool(node.id);
    await holdAddress(node.id, id, '192.0.2.5');
    const put = (body: object) => panel.put(`${POOLS}/${id}`, body, administrator.token);
    for (const body of [
      { cidr: '192.0.2.0/27' },
      { nodeId: second.id },
      { networkName: 'renamed' },
      { driver: 'macvlan', parentInterface: 'eth0' },
      { gateway: '192.0.2.14' },
      { startIp: '192.0.2.6' },
      { endIp: '192.0.2.4' },
      { reserved: ['192.0.2.4/30'] },
    ]) {
      expect([body, (await put(body)).body.code]).toEqual([body, 'ip_pool.in_use']);
    }
    const answer = await put({
      startIp: '192.0.2.5',
      reserved: ['192.0.2.6'],
      name: 'Others',
      cidr: '192.0.2.0/28',
    });
    expect(answer.body.data).toMatchObject({
      startIp: '192.0.2.5',
      addresses: { total: 10, used: 1, reserved: 1, available: 8 },
    });
  });

  test('two that each move a pool to the node of the other both come to an end', async () => {
    const [a, b] = [await panel.createNode(), await panel.createNode()];
    const first = await createPool(a.id, { networkName: 'one', cidr: '10.0.0.0/24' });
    const second = await createPool(b.id, { networkName: 'two', cidr: '10.0.1.0/24' });
    for (let round = 0; round < 5; round += 1) {
      const [to, from] = round % 2 ? [a, b] : [b, a];
      const answers = await Promise.all([
        panel.put(`${POOLS}/${first.id}`, { nodeId: to.id }, administrator.token),
        other.put(`${POOLS}/${second.id}`, { nodeId: from.id }, administrator.token),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    }
  });
});

describe('DELETE /api/admin/ip-pools/:poolId', () => {
  test('is 409 while servers hold addresses, and goes when they are gone', async () => {
    const node = await panel.createNode();
    const { id } = await createPool(node.id);
    const server = await holdAddress(node.id, id, '192.0.2.5');
    const refused = await panel.delete(`${POOLS}/${id}`, administrator.token);
    expect([refused.status, refused.body.code]).toEqual([409, 'ip_pool.in_use']);
    await panel.context.database.prisma.server.delete({ where: { id: server.id } });
    expect((await panel.delete(`${POOLS}/${id}`, administrator.token)).body).toEqual({ success: true });
    expect((await panel.get(`${POOLS}/${id}`, reader.token)).status).toBe(404);
  });
});

describe('GET /api/admin/ip-pools/:poolId/allocations', () => {
  test('lists who holds what, in pages', async () => {
    const node = await panel.createNode();
    const { id } = await createPool(node.id);
    const first = await holdAddress(node.id, id, '192.0.2.9');
    const second = await holdAddress(node.id, id, '192.0.2.3');
    const { body } = await panel.get(`${POOLS}/${id}/allocations?limit=1`, reader.token);
    expect(body).toEqual({
      success: true,
      data: [{ ip: '192.0.2.9', serverId: first.id, serverName: 'a server', createdAt: expect.any(String) }],
      pagination: { page: 1, limit: 1, total: 2, pages: 2 },
    });
    const next = await panel.get(`${POOLS}/${id}/allocations?limit=1&page=2`, reader.token);
    expect(next.body.data).toMatchObject([{ ip: '192.0.2.3', serverId: second.id }]);
  });
});

describe('GET /api/nodes/:nodeId/ip-availability', () => {
  test('is for who may create servers', async () => {
    const node = await panel.createNode();
    const url = `/api/nodes/${node.id}/ip-availability`;
    const { key } = await createApiKey(panel, creator.token, { permissions: ['server.read'] });
    for (const token of [user.token, reader.token, key]) {
      expect((await panel.get(url, token)).body.code).toBe('permission.denied');
    }
    expect((await panel.get(url, creator.token)).body).toEqual({ success: true, data: [] });
    const unknown = await panel.get('/api/nodes/x/ip-availability', creator.token);
    expect([unknown.status, unknown.body.code]).toEqual([404, 'node.not_found']);
    for (const query of ['limit=0', 'limit=101', 'pool=x']) {
      expect((await panel.get(`${url}?${query}`, creator.token)).status).toBe(400);
    }
  });

  test('tells of each pool what is left and which addresses come next', async () => {
    const node = await panel.createNode();
    const pool = await createPool(node.id, { gateway: '192.0.2.1', reserved: ['192.0.2.3'] });
    const v6 = await createPool(node.id, { name: 'Six', networkName: 'six', cidr: '2001:db8::/64' });
    await holdAddress(node.id, pool.id, '192.0.2.4');
    const url = `/api/nodes/${node.id}/ip-availability`;
    const { body } = await panel.get(`${url}?limit=3`, creator.token);
    expect(body.data).toEqual([
      {
        poolId: pool.id,
        name: 'Players',
        networkName: 'players',
        driver: 'bridge',
        cidr: '192.0.2.0/28',
        total: 14,
        used: 1,
        reserved: 2,
        available: 11,
        free: ['192.0.2.2', '192.0.2.5', '192.0.2.6'],
      },
      expect.objectContaining({ poolId: v6.id, free: ['2001:db8::2', '2001:db8::3', '2001:db8::4'] }),
    ]);
    const filtered = await panel.get(`${url}?networkName=six`, creator.token);
    expect(filtered.body.data).toMatchObject([{ poolId: v6.id, free: { length: 5 } }]);
    expect((await panel.get(`${url}?networkName=none`, creator.token)).body.data).toEqual([]);
  });
});

describe('while servers are created on another panel', () => {
  /** A server that wants an address of the pool. */
  function createServer(nodeId: string, templateId: string) {
    const body = {
      name: 'addressed',
      templateId,
      nodeId,
      networkMode: 'players',
      allocatedMemoryMb: 64,
      allocatedCpuCores: 0.1,
      allocatedDiskMb: 1,
    };
    return other.post('/api/servers', body, administrator.token);
  }

  test('a pool never excludes an address that somebody has just been given', async () => {
    const template = await panel.createTemplate();
    for (let round = 0; round < 5; round += 1) {
      const node = await panel.createNode();
      const { id } = await createPool(node.id);
      const [change, ...creations] = await Promise.all([
        panel.put(`${POOLS}/${id}`, { startIp: '192.0.2.9' }, administrator.token),
        createServer(node.id, template.id),
        createServer(node.id, template.id),
      ]);
      expect(creations.map(({ status }) => status)).toEqual([201, 201]);
      const held = await panel.get(`${POOLS}/${id}/allocations`, reader.token);
      const addresses = held.body.data.map(({ ip }: { ip: string }) => ip).sort();
      expect([change.status, addresses]).toEqual(
        change.status === 200 ? [200, ['192.0.2.10', '192.0.2.9']] : [409, ['192.0.2.2', '192.0.2.3']],
      );
    }
  });

  test('a pool or a whole node is deleted before the first of them or not at all', async () => {
    const template = await panel.createTemplate();
    for (const what of ['pool', 'node', 'pool', 'node']) {
      const node = await panel.createNode();
      const { id } = await createPool(node.id);
      const url = what === 'pool' ? `${POOLS}/${id}` : `/api/nodes/${node.id}`;
      const [deletion, creation] = await Promise.all([
        panel.delete(url, administrator.token),
        createServer(node.id, template.id),
      ]);
      const refused = what === 'pool' ? 'ip_pool.in_use' : 'node.has_servers';
      const outcome = [deletion.body.code ?? deletion.status, creation.status];
      const deletedFirst = [200, what === 'pool' ? 400 : 404];
      expect([deletedFirst, [refused, 201]]).toContainEqual(outcome);
    }
  });
});

test('each change of a pool is in the audit log once, what was refused is not', async () => {
  const node = await panel.createNode();
  const { id } = await createPool(node.id);
  await panel.put(`${POOLS}/${id}`, { reserved: ['192.0.2.7'] }, administrator.token);
  await panel.put(`${POOLS}/${id}`, { reserved: ['192.0.2.7'] }, administrator.token);
  await panel.put(`${POOLS}/${id}`, {}, administrator.token);
  await panel.put(`${POOLS}/${id}`, { reserved: ['x'] }, administrator.token);
  await panel.delete(`${POOLS}/${id}`, administrator.token);
  await panel.delete(`${POOLS}/${id}`, administrator.token);
  const rows = await panel.context.database.prisma.auditLog.findMany({
    where: { resourceType: 'ip_pool', resourceId: id },
    orderBy: { id: 'asc' },
  });
  expect(rows.map(({ action, userId }) => [action, userId])).toEqual(
    ['ip_pool.create', 'ip_pool.update', 'ip_pool.delete'].map((action) => [action, administrator.id]),
  );
  expect(rows[1]?.metadata).toEqual({
    poolName: 'Players',
    before: { reserved: [] },
    after: { reserved: ['192.0.2.7'] },
  });
});
