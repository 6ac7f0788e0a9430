import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createOnlineNode, insertPool } from '../helpers/nodes.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer, storedServer } from '../helpers/servers.js';

let panel: Panel;
let administrator: TestUser;
let mover: TestUser;
let owner: TestUser;
let templateId: string;
let source: { id: string; name: string };
let target: { id: string; name: string };

beforeAll(async () => {
  panel = await startPanel();
  administrator = await panel.createAdministrator();
  mover = await panel.createUser(['server.transfer', 'server.read']);
  owner = await panel.createUser();
  templateId = (await panel.createTemplate()).id;
  source = await createOnlineNode(panel, { maxMemoryMb: 1_000_000, maxCpuCores: 1000 });
  target = await createOnlineNode(panel, { maxMemoryMb: 1_000_000, maxCpuCores: 1000 });
});

afterAll(() => panel.close());

async function created(fields: Record<string, unknown> = {}) {
  const answer = await panel.post(
    '/api/servers',
    {
      name: 'minecraft-lobby',
      templateId,
      nodeId: source.id,
      ownerId: owner.id,
      allocatedMemoryMb: 64,
      allocatedCpuCores: 0.01,
      allocatedDiskMb: 10,
      ...fields,
    },
    administrator.token,
  );
  expect(answer, answer.text).toMatchObject({ status: 201 });
  return answer.body.data;
}

function transfer(id: string, targetNodeId: string = target.id, token = mover.token) {
  return panel.post(`/api/servers/${id}/transfer`, { targetNodeId }, token);
}

async function details(id: string) {
  return (await panel.get(`/api/servers/${id}`, administrator.token)).body.data;
}

describe('rights', () => {
  test('401 without a token, 403 for owners and members, 404 for servers that are not there', async () => {
    const { id } = await created();
    const member = await panel.createUser();
    await panel.context.database.prisma.serverAccess.create({
      data: { serverId: id, userId: member.id, permissions: ['*'] },
    });
    const url = `/api/servers/${id}/transfer`;
    expect((await panel.post(url, { targetNodeId: target.id })).status).toBe(401);
    expect((await transfer(id, target.id, owner.token)).status).toBe(403);
    expect((await transfer(id, target.id, member.token)).status).toBe(403);
    expect(await transfer('nosuchserver')).toMatchObject({ status: 404, body: { code: 'server.not_found' } });
  });

  test('a suspended server stays: 423', async () => {
    const { id } = await created();
    await panel.context.database.prisma.server.update({ where: { id }, data: { suspendedAt: new Date() } });
    expect(await transfer(id)).toMatchObject({ status: 423 });
  });
});

test.each([[{}], [{ targetNodeId: 1 }], [{ targetNodeId: '' }], [{ targetNodeId: 'x', colour: 'blue' }]])(
  '400 for %j',
  async (body) => {
    const { id } = await created();
    expect((await panel.post(`/api/servers/${id}/transfer`, body, mover.token)).status).toBe(400);
  },
);

test('a server that was never installed moves, and everybody is told the same', async () => {
  const server = await created({ portBindings: { 25565: 31_000, 25575: 31_001 } });
  await panel.post(
    '/api/servers',
    {
      name: 'in the way',
      templateId,
      nodeId: target.id,
      allocatedMemoryMb: 64,
      allocatedCpuCores: 0.01,
      allocatedDiskMb: 10,
      portBindings: { 25565: 31_001 },
    },
    administrator.token,
  );
  const moved: string[] = [];
  panel.context.bus.on('server.moved', ({ serverId }) => moved.push(serverId));
  const answer = await transfer(server.id);
  expect(answer.status, answer.text).toBe(200);
  expect(answer.body).toEqual({
    success: true,
    message: 'Server transferred successfully',
    server: {
      id: server.id,
      name: 'minecraft-lobby',
      previousNode: source.name,
      currentNode: target.name,
    },
  });
  expect(moved).toEqual([server.id]);
  expect(await details(server.id)).toMatchObject({
    nodeId: target.id,
    node: { id: target.id, name: target.name },
    primaryPort: server.primaryPort,
    // The one is free there, the other is not.
    portBindings: { 25565: 31_000, 25575: 31_002 },
  });
  const rows = await panel.context.database.prisma.auditLog.findMany({
    where: { serverId: server.id, action: 'server.transfer' },
  });
  expect(rows).toMatchObject([
    {
      userId: mover.id,
      resourceType: 'server',
      resourceId: server.id,
      metadata: { before: { nodeName: source.name }, after: { nodeName: target.name } },
    },
  ]);
  const again = await created({ portBindings: { 25565: 31_000, 25575: 31_001 } });
  expect(again.nodeId).toBe(source.id);
});

describe('400 and nothing is moved', () => {
  test('when the server is there already, runs, or is being worked on', async () => {
    const server = await created();
    expect(await transfer(server.id, source.id)).toMatchObject({
      status: 400,
      body: { code: 'server.transfer_failed', error: 'Bad Request' },
    });
    const { prisma } = panel.context.database;
    await prisma.server.update({ where: { id: server.id }, data: { status: 'running' } });
    expect(await transfer(server.id)).toMatchObject({
      status: 400,
      body: { code: 'server.transfer_failed', message: 'The server cannot be transferred: stop it first.' },
    });
    await prisma.server.update({
      where: { id: server.id },
      data: {
        status: 'stopped',
        activeAction: 'install',
        activeActionExpiresAt: new Date(Date.now() + 60_000),
      },
    });
    expect(await transfer(server.id)).toMatchObject({ status: 409, body: { code: 'server.busy' } });
    expect(await storedServer(panel, server.id)).toMatchObject({ nodeId: source.id });
    expect(await prisma.auditLog.count({ where: { serverId: server.id, action: 'server.transfer' } })).toBe(
      0,
    );
  });

  test('when the target is offline, in maintenance, full or not there', async () => {
    const server = await created();
    const offline = await createOnlineNode(panel, { columns: { isOnline: false } });
    const maintained = await createOnlineNode(panel, { columns: { isInMaintenance: true } });
    const full = await createOnlineNode(panel, { maxMemoryMb: 63 });
    expect(await transfer(server.id, offline.id)).toMatchObject({
      status: 400,
      body: {
        code: 'server.transfer_failed',
        message: 'The server cannot be transferred: the target node is offline.',
      },
    });
    expect(await transfer(server.id, maintained.id)).toMatchObject({
      status: 409,
      body: { code: 'node.in_maintenance' },
    });
    expect(await transfer(server.id, full.id)).toMatchObject({
      status: 400,
      body: { code: 'node.insufficient_resources' },
    });
    expect(await transfer(server.id, 'nowhere')).toMatchObject({
      status: 404,
      body: { code: 'node.not_found' },
    });
    expect(await storedServer(panel, server.id)).toMatchObject({ nodeId: source.id });
  });
});

test('a server that has been installed is 501: its files would stay behind', async () => {
  const { id } = await insertServer(panel, { nodeId: source.id, ownerId: owner.id, templateId });
  const answer = await transfer(id);
  expect(answer).toMatchObject({
    status: 501,
    body: { code: 'server.transfer_unavailable', error: 'Not Implemented' },
  });
  expect(answer.body.message).toMatch(/does not take its files along/);
  expect(await storedServer(panel, id)).toMatchObject({ nodeId: source.id });
});

describe('networks', () => {
  test('an address is replaced by one of the same network of the target', async () => {
    await insertPool(panel, source.id, { networkName: 'both' });
    const pool = await insertPool(panel, target.id, { networkName: 'both', cidr: '198.51.100.0/29' });
    const server = await created({ networkMode: 'both', primaryIp: '192.0.2.5' });
    expect((await transfer(server.id)).status).toBe(200);
    expect(await details(server.id)).toMatchObject({
      ipAddress: '198.51.100.2',
      portBindings: server.portBindings,
    });
    const { prisma } = panel.context.database;
    expect(await prisma.ipAllocation.findMany({ where: { serverId: server.id } })).toMatchObject([
      { poolId: pool.id, ip: '198.51.100.2' },
    ]);
    expect(await prisma.allocation.findMany({ where: { serverId: server.id } })).toMatchObject([
      { nodeId: target.id, hostIp: '198.51.100.2' },
    ]);
  });

  test('a target without that network is 400', async () => {
    await insertPool(panel, source.id, { networkName: 'here-only', cidr: '203.0.113.0/29' });
    const server = await created({ networkMode: 'here-only' });
    expect(await transfer(server.id)).toMatchObject({ status: 400, body: { code: 'request.invalid' } });
    expect(await details(server.id)).toMatchObject({ nodeId: source.id, ipAddress: '203.0.113.2' });
  });

  test('in the network of the node a port is taken or it is not', async () => {
    const first = await created({ networkMode: 'host', primaryPort: 33_000 });
    expect((await transfer(first.id)).status).toBe(200);
    const second = await created({ networkMode: 'host', primaryPort: 33_000 });
    expect(await transfer(second.id)).toMatchObject({
      status: 409,
      body: { code: 'allocation.port_taken' },
    });
  });
});

describe('at once', () => {
  test('transfers in both directions do not wait for each other for ever', async () => {
    const there = await Promise.all(Array.from({ length: 5 }, () => created()));
    const back = await Promise.all(Array.from({ length: 5 }, () => created({ nodeId: target.id })));
    const answers = await Promise.all(
      there.flatMap(({ id }, index) => [transfer(id), transfer(back[index]?.id, source.id)]),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  });

  test('of ten transfers with room for one on the target, one succeeds', async () => {
    const narrow = await createOnlineNode(panel, { maxMemoryMb: 100 });
    const servers = await Promise.all(Array.from({ length: 10 }, () => created()));
    const answers = await Promise.all(servers.map(({ id }) => transfer(id, narrow.id)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ body }) => body.code === 'node.insufficient_resources')).toHaveLength(9);
  });

  test('of transfers of one server to two nodes, each is complete or did not happen', async () => {
    const other = await createOnlineNode(panel);
    const { id } = await created();
    const answers = await Promise.all([transfer(id), transfer(id, other.id), transfer(id)]);
    const done = answers.filter(({ status }) => status === 200);
    const { prisma } = panel.context.database;
    const rows = await prisma.auditLog.findMany({
      where: { serverId: id, action: 'server.transfer' },
      orderBy: { id: 'asc' },
    });
    expect(done.length).toBeGreaterThan(0);
    expect(rows).toHaveLength(done.length);
    const { nodeId } = await storedServer(panel, id);
    expect(rows.at(-1)?.metadata).toMatchObject({ after: { nodeId } });
    expect(await prisma.allocation.findMany({ where: { serverId: id } })).toMatchObject([{ nodeId }]);
  });
});
