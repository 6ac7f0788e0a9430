import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auditedActions, serverAudit } from '../helpers/audit.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer, storedServer } from '../helpers/servers.js';

const HELD = {
  activeAction: 'delete',
  activeCommandId: 'x',
  activeActionExpiresAt: new Date(Date.now() + 6e5),
};

let panel: Panel;
let owner: TestUser;
let stranger: TestUser;
let node: { id: string };
let templateId: string;
let nextPort = 40_000;

beforeAll(async () => {
  panel = await startPanel();
  owner = await panel.createUser();
  stranger = await panel.createUser();
  node = await panel.createNode({ maxCpuCores: 1000, portRangeStart: 20_000, portRangeEnd: 60_000 });
  templateId = (await panel.createTemplate()).id;
});

afterAll(() => panel.close());

/** A server with its primary port, and a second one. */
async function server(fields: Record<string, unknown> = {}) {
  const { nodeId = node.id, ...rest } = fields as { nodeId?: string };
  const made = await insertServer(panel, { nodeId, ownerId: owner.id, templateId, ...rest });
  const hostPort = nextPort;
  nextPort += 2;
  await panel.context.database.prisma.allocation.createMany({
    data: [
      { nodeId, serverId: made.id, containerPort: 25_565, hostPort, isPrimary: true },
      { nodeId, serverId: made.id, containerPort: 25_575, hostPort: hostPort + 1 },
    ],
  });
  return { ...made, hostPort, url: `/api/servers/${made.id}/allocations` };
}

const ROUTES = [
  ['GET', '', undefined],
  ['POST', '', { containerPort: 25_566 }],
  ['DELETE', '/25575', undefined],
  ['POST', '/primary', { containerPort: 25_575 }],
] as const;

describe('rights', () => {
  test.each(ROUTES)(
    '%s allocations%s: 401 without a token, 404 for strangers',
    async (method, path, body) => {
      const { url } = await server();
      expect((await panel.call(method, `${url}${path}`, body)).status).toBe(401);
      expect(await panel.call(method, `${url}${path}`, body, stranger.token)).toMatchObject({
        status: 404,
        body: { code: 'server.not_found' },
      });
    },
  );

  test.each(ROUTES.slice(1))(
    '%s allocations%s: 403 for who may only read, 423 on a suspended server',
    async (method, path, body) => {
      const { id, url } = await server();
      const member = await panel.createUser();
      await panel.context.database.prisma.serverAccess.create({
        data: { serverId: id, userId: member.id, permissions: ['server.read'] },
      });
      expect((await panel.get(url, member.token)).status).toBe(200);
      expect((await panel.call(method, `${url}${path}`, body, member.token)).status).toBe(403);
      const suspended = await server({ suspendedAt: new Date() });
      expect((await panel.call(method, `${suspended.url}${path}`, body, owner.token)).status).toBe(423);
    },
  );

  test.each(ROUTES.slice(1))(
    '%s allocations%s: 409 on a server that runs, or with which something is being done',
    async (method, path, body) => {
      const running = await server({ status: 'running' });
      expect(await panel.call(method, `${running.url}${path}`, body, owner.token)).toMatchObject({
        status: 409,
        body: { code: 'server.not_stopped' },
      });
      const busy = await server(HELD);
      expect(await panel.call(method, `${busy.url}${path}`, body, owner.token)).toMatchObject({
        status: 409,
        body: { code: 'server.busy' },
      });
    },
  );
});

test('the list has the documented fields, the primary first, in pages', async () => {
  const { url, hostPort } = await server();
  const { status, body } = await panel.get(url, owner.token);
  expect(status).toBe(200);
  expect(body).toEqual({
    success: true,
    data: [
      { containerPort: 25_565, hostPort, isPrimary: true },
      { containerPort: 25_575, hostPort: hostPort + 1, isPrimary: false },
    ],
    pagination: { page: 1, limit: 20, total: 2, pages: 1 },
  });
  const { body: page } = await panel.get(`${url}?page=2&limit=1`, owner.token);
  expect(page).toMatchObject({ data: [{ containerPort: 25_575 }], pagination: { pages: 2 } });
  expect((await panel.get(`${url}?limit=101`, owner.token)).status).toBe(400);
});

describe('add', () => {
  test.each([
    {},
    { containerPort: '25566' },
    { containerPort: 0 },
    { containerPort: 65_536 },
    { containerPort: 1.5 },
    { containerPort: 25_566, hostPort: null },
    { containerPort: 25_566, hostPort: 70_000 },
    { containerPort: 25_566, isPrimary: true },
    [],
  ])('with %j is 400', async (body) => {
    const { id, url } = await server();
    expect((await panel.post(url, body, owner.token)).status).toBe(400);
    expect(await auditedActions(panel, id)).toEqual([]);
  });

  test('answers as documented, and is in the audit log', async () => {
    const { id, url } = await server();
    const { status, body } = await panel.post(url, { containerPort: 25_566, hostPort: 25_570 }, owner.token);
    expect(status).toBe(200);
    expect(body).toEqual({
      success: true,
      data: { containerPort: 25_566, hostPort: 25_570, isPrimary: false },
    });
    expect(await serverAudit(panel, id)).toMatchObject([
      {
        action: 'allocation.create',
        userId: owner.id,
        metadata: { serverName: 'a server', containerPort: 25_566, hostPort: 25_570 },
      },
    ]);
    const { body: detail } = await panel.get(`/api/servers/${id}`, owner.token);
    expect(detail.data.portBindings).toMatchObject({ 25566: 25_570 });
  });

  test('without a host port takes a free one, the same if it can be', async () => {
    const first = await server();
    const add = (url: string) => panel.post(url, { containerPort: 31_000 }, owner.token);
    expect((await add(first.url)).body.data.hostPort).toBe(31_000);
    expect((await add((await server()).url)).body.data.hostPort).toBe(31_001);
  });

  test('a container port twice, a taken host port and one outside of the range', async () => {
    const { url } = await server();
    const other = await server();
    const add = (body: unknown) => panel.post(url, body, owner.token);
    expect(await add({ containerPort: 25_565 })).toMatchObject({
      status: 409,
      body: { code: 'allocation.exists' },
    });
    expect(await add({ containerPort: 25_566, hostPort: other.hostPort })).toMatchObject({
      status: 409,
      body: { code: 'allocation.port_taken' },
    });
    expect(await add({ containerPort: 25_566, hostPort: 19_999 })).toMatchObject({
      status: 400,
      body: { code: 'allocation.port_out_of_range' },
    });
  });

  test('of many that want one host port, on two panels, exactly one gets it', async () => {
    const others = await Promise.all(Array.from({ length: 6 }, () => server()));
    const second = await startPanel({ database: panel.database });
    const answers = await Promise.all(
      others.map(({ url }, index) =>
        (index % 2 ? panel : second).post(url, { containerPort: 7000, hostPort: 32_000 }, owner.token),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ body }) => body.code === 'allocation.port_taken')).toHaveLength(5);
    await second.close();
  });

  test('a server has at most fifty', async () => {
    const { id, url } = await server();
    await panel.context.database.prisma.allocation.createMany({
      data: Array.from({ length: 48 }, (_, index) => ({
        nodeId: node.id,
        serverId: id,
        containerPort: 100 + index,
        hostPort: 50_000 + index,
      })),
    });
    expect(await panel.post(url, { containerPort: 99 }, owner.token)).toMatchObject({
      status: 409,
      body: { code: 'allocation.too_many' },
    });
  });

  test('where the server has the network of its node, or an address of its own, both ports are the same', async () => {
    const host = await server({ networkMode: 'host' });
    const differing = { containerPort: 33_000, hostPort: 33_001 };
    expect((await panel.post(host.url, differing, owner.token)).status).toBe(400);
    expect((await panel.post(host.url, { containerPort: 33_000 }, owner.token)).body.data).toEqual({
      containerPort: 33_000,
      hostPort: 33_000,
      isPrimary: false,
    });
    const { prisma } = panel.context.database;
    const pool = await prisma.ipPool.create({
      data: { nodeId: node.id, name: 'a pool', networkName: 'public0', cidr: '198.51.100.0/24' },
    });
    const own = await server({ networkMode: 'public0' });
    await prisma.ipAllocation.create({ data: { poolId: pool.id, serverId: own.id, ip: '198.51.100.9' } });
    expect((await panel.post(own.url, differing, owner.token)).status).toBe(400);
    // Neither the node's range nor what its other servers hold counts on an address of its own.
    const answer = await panel.post(own.url, { containerPort: 80, hostPort: 80 }, owner.token);
    expect(answer.body.data).toEqual({ containerPort: 80, hostPort: 80, isPrimary: false });
    const stored = await prisma.allocation.findFirst({ where: { serverId: own.id, containerPort: 80 } });
    expect(stored?.hostIp).toBe('198.51.100.9');
  });
});

describe('remove', () => {
  test.each(['x', '0', '65536', '025575', '-1', '1e3'])('port %s is 400', async (port) => {
    const { url } = await server();
    expect((await panel.delete(`${url}/${port}`, owner.token)).status).toBe(400);
  });

  test('answers as documented; the primary stays, what is not there is 404', async () => {
    const { id, url } = await server();
    expect(await panel.delete(`${url}/25565`, owner.token)).toMatchObject({
      status: 409,
      body: { code: 'allocation.is_primary' },
    });
    const { status, body } = await panel.delete(`${url}/25575`, owner.token);
    expect([status, body]).toEqual([200, { success: true }]);
    expect(await panel.delete(`${url}/25575`, owner.token)).toMatchObject({
      status: 404,
      body: { code: 'allocation.not_found' },
    });
    expect(await auditedActions(panel, id)).toEqual(['allocation.delete']);
  });
});

describe('primary', () => {
  test.each([{}, { containerPort: '1' }, { containerPort: 0 }, { containerPort: 1, hostPort: 1 }, []])(
    'with %j is 400',
    async (body) => {
      const { url } = await server();
      expect((await panel.post(`${url}/primary`, body, owner.token)).status).toBe(400);
    },
  );

  test('answers as documented and moves the primary port', async () => {
    const { id, url } = await server();
    const primary = (containerPort: number) => panel.post(`${url}/primary`, { containerPort }, owner.token);
    expect(await primary(25_999)).toMatchObject({ status: 404, body: { code: 'allocation.not_found' } });
    const { status, body } = await primary(25_575);
    expect([status, body]).toEqual([200, { success: true, data: { primaryPort: 25_575 } }]);
    expect(await storedServer(panel, id)).toMatchObject({ primaryPort: 25_575 });
    const { body: list } = await panel.get(url, owner.token);
    expect(list.data).toMatchObject([
      { containerPort: 25_575, isPrimary: true },
      { containerPort: 25_565, isPrimary: false },
    ]);
    expect((await panel.delete(`${url}/25565`, owner.token)).status).toBe(200);
    expect((await primary(25_575)).status).toBe(200);
    expect(await auditedActions(panel, id)).toEqual(['allocation.set_primary', 'allocation.delete']);
  });
});
