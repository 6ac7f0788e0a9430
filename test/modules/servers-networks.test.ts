import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createOnlineNode, insertPool } from '../helpers/nodes.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

let panel: Panel;
let creator: TestUser;
let templateId: string;

beforeAll(async () => {
  panel = await startPanel();
  creator = await panel.createUser(['server.create']);
  templateId = (await panel.createTemplate()).id;
});

afterAll(() => panel.close());

function create(nodeId: string, fields: Record<string, unknown> = {}, token = creator.token) {
  return panel.post(
    '/api/servers',
    {
      name: 'a server',
      templateId,
      nodeId,
      allocatedMemoryMb: 64,
      allocatedCpuCores: 0.01,
      allocatedDiskMb: 10,
      networkMode: 'players',
      ...fields,
    },
    token,
  );
}

async function created(nodeId: string, fields?: Record<string, unknown>) {
  const answer = await create(nodeId, fields);
  expect(answer, answer.text).toMatchObject({ status: 201 });
  return answer.body.data;
}

/** A node with a pool of the addresses .2 to .6, of which .4 is reserved. */
async function nodeWithPool(fields: Record<string, unknown> = {}) {
  const { id } = await createOnlineNode(panel);
  const pool = await insertPool(panel, id, { reserved: ['192.0.2.4'], ...fields });
  return { id, pool };
}

function storedPorts(serverId: string) {
  return panel.context.database.prisma.allocation.findMany({
    where: { serverId },
    select: { hostIp: true, hostPort: true, containerPort: true },
    orderBy: { containerPort: 'asc' },
  });
}

describe('a server in the network of a pool', () => {
  test('has the lowest free address, and its ports on it whatever the node has given away', async () => {
    const node = await nodeWithPool();
    await created(node.id, { networkMode: 'bridge' });
    const first = await created(node.id);
    expect(first).toMatchObject({
      networkMode: 'players',
      ipAddress: '192.0.2.2',
      portBindings: { 25565: 25_565 },
    });
    const second = await created(node.id, { portBindings: { 25565: 25_565, 80: 80 } });
    expect(second).toMatchObject({ ipAddress: '192.0.2.3', portBindings: { 25565: 25_565, 80: 80 } });
    // 80 is not in the port range of the node, which is none of this server's business.
    expect(await storedPorts(second.id)).toEqual([
      { hostIp: '192.0.2.3', hostPort: 80, containerPort: 80 },
      { hostIp: '192.0.2.3', hostPort: 25_565, containerPort: 25_565 },
    ]);
    const bridged = await created(node.id, { networkMode: 'bridge' });
    expect(bridged).toMatchObject({ ipAddress: null, portBindings: { 25565: 25_566 } });
  });

  test('never has a reserved address, nor one that the pool does not have', async () => {
    const node = await nodeWithPool();
    const addresses: unknown[] = [];
    for (let count = 0; count < 4; count += 1) addresses.push((await created(node.id)).ipAddress);
    expect(addresses).toEqual(['192.0.2.2', '192.0.2.3', '192.0.2.5', '192.0.2.6']);
    expect(await create(node.id)).toMatchObject({ status: 409, body: { code: 'ip_pool.exhausted' } });
  });

  test('has the address that was asked for, when it can', async () => {
    const node = await nodeWithPool();
    expect(await created(node.id, { primaryIp: '192.0.2.5' })).toMatchObject({ ipAddress: '192.0.2.5' });
    expect(await create(node.id, { primaryIp: '192.0.2.5' })).toMatchObject({
      status: 409,
      body: { code: 'ip_pool.address_taken' },
    });
    for (const primaryIp of ['192.0.2.4', '192.0.2.1', '192.0.2.7', '198.51.100.7', '2001:db8::1']) {
      expect(await create(node.id, { primaryIp })).toMatchObject({
        status: 400,
        body: { code: 'ip_pool.address_unusable' },
      });
    }
  });

  test('may ask for an IPv6 address in any notation', async () => {
    const node = await nodeWithPool({ cidr: '2001:db8::/64', gateway: '2001:db8::1', reserved: [] });
    const asked = await created(node.id, { primaryIp: '2001:0DB8:0:0::00ff' });
    expect(asked.ipAddress).toBe('2001:db8::ff');
    expect((await created(node.id)).ipAddress).toBe('2001:db8::2');
    expect(await create(node.id, { primaryIp: '2001:db8::00ff' })).toMatchObject({ status: 409 });
  });

  test('gives its address back when it goes', async () => {
    const node = await nodeWithPool({ startIp: '192.0.2.6' });
    const server = await created(node.id);
    expect(await create(node.id)).toMatchObject({ status: 409 });
    expect((await panel.delete(`/api/servers/${server.id}`, creator.token)).status).toBe(200);
    expect((await created(node.id)).ipAddress).toBe('192.0.2.6');
  });

  test('of 20 creates at once with three addresses left, three succeed with an address each', async () => {
    const node = await nodeWithPool({ startIp: '192.0.2.3' });
    const answers = await Promise.all(Array.from({ length: 20 }, () => create(node.id)));
    const addresses = answers.filter(({ status }) => status === 201).map(({ body }) => body.data.ipAddress);
    expect(addresses.sort()).toEqual(['192.0.2.3', '192.0.2.5', '192.0.2.6']);
    expect(answers.filter(({ body }) => body.code === 'ip_pool.exhausted')).toHaveLength(17);
  });
});

describe('400', () => {
  test.each([
    ['a network that the node does not have', { networkMode: 'nowhere' }, /nowhere/],
    ['a primaryIp that is no address', { primaryIp: '192.0.2' }, /^body\.primaryIp/],
    ['a primaryIp without a pool', { networkMode: 'bridge', primaryIp: '192.0.2.2' }, /^body\.primaryIp/],
    ['another host port than the container port', { portBindings: { 25565: 4000 } }, /^portBindings/],
  ])('for %s', async (_what, fields, message) => {
    const node = await nodeWithPool();
    const answer = await create(node.id, fields);
    expect(answer).toMatchObject({ status: 400, body: { code: 'request.invalid' } });
    expect(answer.body.message).toMatch(message);
  });

  test('for a node whose servers are plain processes, in a sentence', async () => {
    const node = await nodeWithPool();
    await panel.context.database.prisma.node.update({
      where: { id: node.id },
      data: { runtime: 'process' },
    });
    const answer = await create(node.id);
    expect(answer).toMatchObject({ status: 400, body: { code: 'request.invalid' } });
    expect(answer.body.message).toBe(
      'networkMode: the node has no network for servers: its agent runs servers as plain processes, which have no ' +
        'networks of their own.',
    );
  });
});
