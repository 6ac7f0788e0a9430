import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serverAudit } from '../helpers/audit.js';
import { connectClient } from '../helpers/client.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

let panel: PanelWithDoors;
let owner: TestUser;
let stranger: TestUser;
let node: { id: string };
let templateId: string;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser();
  stranger = await panel.createUser();
  node = await panel.createNode();
  templateId = (await panel.createTemplate()).id;
});

afterAll(() => panel.close());

async function server(fields: Record<string, unknown> = {}) {
  const made = await insertServer(panel, { nodeId: node.id, ownerId: owner.id, templateId, ...fields });
  return { ...made, url: `/api/servers/${made.id}/members` };
}

async function member(serverId: string, permissions: string[]): Promise<TestUser> {
  const user = await panel.createUser();
  await panel.context.database.prisma.serverAccess.create({
    data: { serverId, userId: user.id, permissions },
  });
  return user;
}

function rights(serverId: string, userId: string) {
  return panel.context.database.prisma.serverAccess.findUnique({
    where: { userId_serverId: { userId, serverId } },
    select: { permissions: true },
  });
}

const ROUTES = [
  ['GET', false, undefined],
  ['POST', false, { userId: 'x', permissions: ['server.read'] }],
  ['PATCH', true, { permissions: ['server.read'] }],
  ['DELETE', true, undefined],
] as const;

describe('rights', () => {
  test.each(ROUTES)('%s: 401, 404 for strangers, 403 for who may only read', async (method, isOne, body) => {
    const { id, url } = await server();
    const path = isOne ? `${url}/${stranger.id}` : url;
    const reader = await member(id, ['server.read']);
    expect((await panel.call(method, path, body)).status).toBe(401);
    expect(await panel.call(method, path, body, stranger.token)).toMatchObject({
      status: 404,
      body: { code: 'server.not_found' },
    });
    expect((await panel.call(method, path, body, reader.token)).status).toBe(403);
  });

  test.each(ROUTES.slice(1))('%s on a suspended server is 423', async (method, isOne, body) => {
    const { url } = await server({ suspendedAt: new Date() });
    expect((await panel.get(url, owner.token)).status).toBe(200);
    const path = isOne ? `${url}/${stranger.id}` : url;
    expect((await panel.call(method, path, body, owner.token)).status).toBe(423);
  });
});

describe('list', () => {
  test('shows who may what, oldest first, in pages', async () => {
    const { id, url } = await server();
    const first = await member(id, ['server.*', 'member.read']);
    await member(id, ['server.read']);
    const { status, body } = await panel.get(`${url}?limit=1`, first.token);
    expect(status).toBe(200);
    expect(body).toEqual({
      success: true,
      data: [
        {
          userId: first.id,
          username: first.username,
          email: first.email,
          permissions: ['server.*', 'member.read'],
          createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
        },
      ],
      pagination: { page: 1, limit: 1, total: 2, pages: 2 },
    });
    expect((await panel.get(`${url}?limit=0`, owner.token)).status).toBe(400);
  });
});

describe('add', () => {
  test.each([
    {},
    { permissions: ['server.read'] },
    { userId: 'a', email: 'b@example.com', permissions: ['server.read'] },
    { userId: 'a' },
    { userId: 5, permissions: ['server.read'] },
    { userId: 'a', permissions: 'server.read' },
    { userId: 'a', permissions: [] },
    { userId: 'a', permissions: ['server.fly'] },
    { userId: 'a', permissions: ['server.suspend'] },
    { userId: 'a', permissions: ['admin.*'] },
    { userId: 'a', permissions: ['server.read', 'server.read'] },
    { userId: 'a', permissions: ['server.read'], role: 'x' },
    [],
  ])('with %j is 400', async (body) => {
    const { url } = await server();
    expect((await panel.post(url, body, owner.token)).status).toBe(400);
  });

  test('by id or by e-mail address, whichever case it is written in', async () => {
    const { id, url } = await server();
    const permissions = ['server.read', 'server.console'];
    const byId = await panel.post(url, { userId: stranger.id, permissions }, owner.token);
    expect(byId).toMatchObject({
      status: 201,
      body: { success: true, data: { userId: stranger.id, username: stranger.username, permissions } },
    });
    const other = await panel.createUser();
    const email = other.email.toUpperCase();
    expect((await panel.post(url, { email, permissions }, owner.token)).body.data.userId).toBe(other.id);
    expect((await panel.get(`/api/servers/${id}`, other.token)).status).toBe(200);
    expect(await serverAudit(panel, id)).toMatchObject([
      {
        action: 'member.add',
        userId: owner.id,
        resourceType: 'member',
        resourceId: stranger.id,
        metadata: { serverName: 'a server', username: stranger.username, permissions },
      },
      { action: 'member.add', resourceId: other.id },
    ]);
  });

  test('nobody, the owner, and a member already', async () => {
    const { id, url } = await server();
    const there = await member(id, ['server.read']);
    const permissions = ['server.read'];
    const add = (who: object) => panel.post(url, { ...who, permissions }, owner.token);
    for (const who of [{ userId: 'nobody' }, { email: 'nobody@example.com' }]) {
      expect(await add(who)).toMatchObject({ status: 404, body: { code: 'user.not_found' } });
    }
    expect(await add({ userId: owner.id })).toMatchObject({ status: 409, body: { code: 'member.is_owner' } });
    expect(await add({ userId: there.id })).toMatchObject({ status: 409, body: { code: 'member.exists' } });
  });

  test('of many at once, on two panels, exactly one adds the member', async () => {
    const { id, url } = await server();
    const other = await startPanel({ database: panel.database });
    const user = await panel.createUser();
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        (index % 2 ? panel : other).post(url, { userId: user.id, permissions: ['server.read'] }, owner.token),
      ),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ body }) => body.code === 'member.exists')).toHaveLength(7);
    expect(await serverAudit(panel, id)).toHaveLength(1);
    await other.close();
  });

  test('a server has at most a hundred', async () => {
    const { id, url } = await server();
    const { prisma } = panel.context.database;
    const names = Array.from({ length: 100 }, (_, index) => `crowd${index}`);
    await prisma.user.createMany({
      data: names.map((name) => ({
        email: `${name}@example.com`,
        emailKey: `${name}@example.com`,
        username: name,
        usernameKey: name,
        passwordHash: 'x',
      })),
    });
    const users = await prisma.user.findMany({ where: { username: { in: names } } });
    await prisma.serverAccess.createMany({
      data: users.map(({ id: userId }) => ({ serverId: id, userId, permissions: ['server.read'] })),
    });
    const body = { userId: stranger.id, permissions: ['server.read'] };
    expect(await panel.post(url, body, owner.token)).toMatchObject({
      status: 409,
      body: { code: 'member.too_many' },
    });
  });
});

describe('nobody gives, changes or takes away what he does not have', () => {
  test('to somebody new', async () => {
    const { id, url } = await server();
    const manager = await member(id, ['server.read', 'member.write', 'file.*']);
    const add = (permissions: string[]) =>
      panel.post(url, { userId: stranger.id, permissions }, manager.token);
    for (const permissions of [['server.start'], ['server.*'], ['*'], ['file.read', 'backup.read']]) {
      expect(await add(permissions)).toMatchObject({ status: 403, body: { code: 'permission.not_held' } });
    }
    expect(await rights(id, stranger.id)).toBeNull();
    expect((await add(['file.read', 'server.read'])).status).toBe(201);
  });

  test('of a member: what he had stays, or is not touched', async () => {
    const { id, url } = await server();
    const manager = await member(id, ['server.read', 'member.write']);
    const other = await member(id, ['server.start', 'server.read']);
    const change = (userId: string, permissions: string[]) =>
      panel.patch(`${url}/${userId}`, { permissions }, manager.token);
    const refused = { status: 403, body: { code: 'permission.not_held' } };
    expect(await change(other.id, ['server.read'])).toMatchObject(refused);
    expect(await change(other.id, ['server.start', 'server.stop'])).toMatchObject(refused);
    expect(await change(manager.id, ['*'])).toMatchObject(refused);
    expect(await panel.delete(`${url}/${other.id}`, manager.token)).toMatchObject(refused);
    expect(await change(other.id, ['server.start', 'member.write'])).toMatchObject({ status: 200 });
    expect(await rights(id, other.id)).toEqual({ permissions: ['server.start', 'member.write'] });
  });

  test('with an API key: no more than the key lets through', async () => {
    const { id, url } = await server();
    const key = await panel.post(
      '/api/auth/api-keys',
      { name: 'a key', permissions: ['member.write', 'server.read'] },
      owner.token,
    );
    const token = String(key.body.data.key);
    const add = (permissions: string[]) => panel.post(url, { userId: stranger.id, permissions }, token);
    expect(await add(['server.start'])).toMatchObject({
      status: 403,
      body: { code: 'permission.not_held' },
    });
    expect((await add(['server.read'])).status).toBe(201);
    expect((await serverAudit(panel, id))[0]?.apiKeyId).not.toBeNull();
  });
});

describe('update', () => {
  test.each([
    {},
    { permissions: [] },
    { permissions: ['admin.read'] },
    { permissions: null },
    { userId: 'x' },
  ])('with %j is 400', async (body) => {
    const { id, url } = await server();
    const { id: userId } = await member(id, ['server.read']);
    expect((await panel.patch(`${url}/${userId}`, body, owner.token)).status).toBe(400);
  });

  test('of one who is no member, or one of another server, is 404', async () => {
    const { url } = await server();
    const other = await server();
    const elsewhere = await member(other.id, ['server.read']);
    const body = { permissions: ['server.read'] };
    for (const userId of ['nobody', elsewhere.id]) {
      const missing = { status: 404, body: { code: 'member.not_found' } };
      expect(await panel.patch(`${url}/${userId}`, body, owner.token)).toMatchObject(missing);
      expect(await panel.delete(`${url}/${userId}`, owner.token)).toMatchObject(missing);
    }
    expect(await rights(other.id, elsewhere.id)).not.toBeNull();
  });

  test('answers the member, and what was before is in the audit log', async () => {
    const { id, url } = await server();
    const { id: userId, username } = await member(id, ['server.read']);
    const permissions = ['server.read', 'server.start'];
    const { status, body } = await panel.patch(`${url}/${userId}`, { permissions }, owner.token);
    expect([status, body.data]).toMatchObject([200, { userId, username, permissions }]);
    expect(await serverAudit(panel, id)).toMatchObject([
      {
        action: 'member.update',
        metadata: { username, before: { permissions: ['server.read'] }, after: { permissions } },
      },
    ]);
  });
});

describe('remove', () => {
  test('takes everything at once, on open connections too', async () => {
    const { id, url } = await server();
    const user = await member(id, ['server.read', 'server.logs.read']);
    const client = await connectClient({ port: panel.port, token: user.token });
    await client.subscribe(id);
    const { status, body } = await panel.delete(`${url}/${user.id}`, owner.token);
    expect([status, body]).toEqual([200, { success: true }]);
    await client.next('unsubscribed', ({ serverId }) => serverId === id);
    expect((await panel.get(`/api/servers/${id}`, user.token)).status).toBe(404);
    expect(await serverAudit(panel, id)).toMatchObject([
      { action: 'member.remove', resourceId: user.id, metadata: { username: user.username } },
    ]);
    await client.close();
  });

  test('a member may go by himself, whatever he may not', async () => {
    const { id, url } = await server();
    const user = await member(id, ['server.start']);
    expect(await panel.delete(`${url}/${user.id}`, user.token)).toMatchObject({ status: 200 });
    expect(await rights(id, user.id)).toBeNull();
    expect((await panel.delete(`${url}/${user.id}`, user.token)).status).toBe(404);
  });
});
