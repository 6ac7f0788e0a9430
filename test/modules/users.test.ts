import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

let panel: Panel;
let administrator: TestUser;
let reader: TestUser;
let stranger: TestUser;
beforeAll(async () => {
  panel = await startPanel();
  administrator = await panel.createAdministrator();
  reader = await panel.createUser(['admin.read']);
  stranger = await panel.createUser();
});
afterAll(() => panel.close());

const BODY = { email: 'new@example.com', username: 'newcomer', password: 'long enough' };

const ROUTES = [
  ['GET', '/api/admin/users', undefined],
  ['POST', '/api/admin/users', BODY],
  ['GET', '/api/admin/users/x', undefined],
  ['PUT', '/api/admin/users/x', { username: 'renamed' }],
  ['DELETE', '/api/admin/users/x', undefined],
  ['GET', '/api/admin/users/x/permissions', undefined],
  ['PUT', '/api/admin/users/x/roles', { roleIds: [] }],
  ['POST', '/api/admin/users/x/reset-password', {}],
  ['POST', '/api/admin/users/x/disable-two-factor', {}],
] as const;

test.each(ROUTES)('%s %s is 401 without a token and 403 without a right', async (method, url, body) => {
  expect((await panel.call(method, url, body)).status).toBe(401);
  const answer = await panel.call(method, url, body, stranger.token);
  expect([answer.status, answer.body.code]).toEqual([403, 'permission.denied']);
});

test.each(ROUTES.filter(([method]) => method !== 'GET'))(
  '%s %s is 403 for who may only read, before the body is looked at',
  async (method, url, body) => {
    for (const sent of [body, { nonsense: true }]) {
      expect((await panel.call(method, url, sent, reader.token)).body.code).toBe('permission.denied');
    }
  },
);

test.each(ROUTES.filter(([, url]) => url !== '/api/admin/users'))(
  '%s %s is 404 for a user that does not exist',
  async (method, url, body) => {
    const answer = await panel.call(method, url, body, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([404, 'user.not_found']);
  },
);

test.each([
  ['POST', '/api/admin/users', { ...BODY, email: 'nobody' }, 'body.email'],
  ['POST', '/api/admin/users', { ...BODY, password: 'short' }, 'Password too weak (min 8 characters)'],
  ['POST', '/api/admin/users', { ...BODY, username: 'a b' }, 'body.username'],
  ['POST', '/api/admin/users', { ...BODY, roleIds: ['x', 'x'] }, 'names a role twice'],
  ['POST', '/api/admin/users', { ...BODY, isAdmin: true }, '"isAdmin"'],
  ['PUT', '/api/admin/users/x', { isDisabled: 'true' }, 'body.isDisabled'],
  ['PUT', '/api/admin/users/x', { passwordHash: 'x' }, '"passwordHash"'],
  ['PUT', '/api/admin/users/x/roles', {}, 'body.roleIds'],
  ['POST', '/api/admin/users/x/reset-password', { password: 'short' }, 'Password too weak'],
  ['GET', '/api/admin/users?limit=101', undefined, 'query.limit'],
  ['GET', '/api/admin/users?isDisabled=1', undefined, 'query.isDisabled'],
  ['GET', '/api/admin/users?nonsense=1', undefined, '"nonsense"'],
])('%s %s with %j is 400', async (method, url, body, named) => {
  const answer = await panel.call(method, url, body, administrator.token);
  expect([answer.status, answer.body.code]).toEqual([400, 'request.invalid']);
  expect(answer.body.message).toContain(named);
});

function create(fields: Record<string, unknown>, token = administrator.token) {
  const name = `person_${Math.random().toString(36).slice(2, 10)}`;
  return panel.post(
    '/api/admin/users',
    { email: `${name}@example.com`, username: name, password: 'long enough', ...fields },
    token,
  );
}

function lastAudit(action: string) {
  return panel.context.database.prisma.auditLog.findFirst({ where: { action }, orderBy: { id: 'desc' } });
}

describe('an account', () => {
  test('is made with roles, can sign in, and is told about as documented', async () => {
    const role = await panel.context.database.prisma.role.create({
      data: { name: 'Server Manager', permissions: ['server.create', 'server.start', 'server.stop'] },
    });
    const created = await create({ email: 'User@Example.com', username: 'johndoe', roleIds: [role.id] });
    expect(created.status).toBe(201);
    const user = {
      id: expect.any(String),
      email: 'User@Example.com',
      username: 'johndoe',
      roles: [
        {
          id: role.id,
          name: 'Server Manager',
          permissions: ['server.create', 'server.start', 'server.stop'],
        },
      ],
      disabledAt: null,
      twoFactorEnabled: false,
      serverCount: 0,
      membershipCount: 0,
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      updatedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    };
    expect(created.body).toEqual({ success: true, data: user });
    const { id } = created.body.data;
    expect((await panel.get(`/api/admin/users/${id}`, reader.token)).body).toEqual(created.body);
    const listed = await panel.get('/api/admin/users?search=johndoe', reader.token);
    expect(listed.body).toEqual({
      success: true,
      data: [user],
      pagination: { page: 1, limit: 20, total: 1, pages: 1 },
    });
    const login = await panel.post('/api/auth/login', { email: 'user@example.com', password: 'long enough' });
    expect(login.body.data.userId).toBe(id);
    expect(await lastAudit('user.create')).toMatchObject({
      userId: administrator.id,
      resourceType: 'user',
      resourceId: id,
      metadata: { email: 'User@Example.com', username: 'johndoe', roles: ['Server Manager'] },
    });
  });

  test('has the role of those who register when none is named, and none when the list is empty', async () => {
    await panel.context.database.prisma.role.upsert({
      where: { name: 'User' },
      create: { name: 'User', permissions: [], isBuiltIn: true },
      update: {},
    });
    expect((await create({})).body.data.roles).toMatchObject([{ name: 'User' }]);
    expect((await create({ roleIds: [] })).body.data.roles).toEqual([]);
    const answer = await create({ roleIds: ['nonsense'] });
    expect([answer.status, answer.body.code]).toEqual([404, 'role.not_found']);
  });

  test('is not made with the e-mail or the name of another, however it is written: 400', async () => {
    const other = (await create({})).body.data;
    const sameEmail = await create({ email: other.email.toUpperCase() });
    expect([sameEmail.status, sameEmail.body.code]).toEqual([400, 'auth.email_taken']);
    const sameName = await create({ username: other.username.toUpperCase() });
    expect([sameName.status, sameName.body.code]).toEqual([400, 'auth.username_taken']);
    const changed = await panel.put(
      `/api/admin/users/${(await create({})).body.data.id}`,
      { email: other.email },
      administrator.token,
    );
    expect([changed.status, changed.body.code]).toEqual([400, 'auth.email_taken']);
  });

  test('of 10 at once with one e-mail one is made', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => create({ email: 'race@example.com' })),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([201, ...Array.from({ length: 9 }, () => 400)]);
  });

  test('is renamed, and what changed is in the audit log', async () => {
    const { id, username } = (await create({})).body.data;
    const changed = await panel.put(
      `/api/admin/users/${id}`,
      { username: 'Renamed', email: 'renamed@example.com' },
      administrator.token,
    );
    expect(changed.body.data).toMatchObject({ username: 'Renamed', email: 'renamed@example.com' });
    expect((await lastAudit('user.update'))?.metadata).toMatchObject({
      username,
      before: { username },
      after: { username: 'Renamed', email: 'renamed@example.com' },
    });
    const login = { email: 'renamed@example.com', password: 'long enough' };
    expect((await panel.post('/api/auth/login', login)).status).toBe(200);
  });

  test('is deleted with what it could sign in with, but not while it owns a server: 409', async () => {
    const owner = await panel.createUser();
    const { id: nodeId } = await panel.createNode();
    const server = await insertServer(panel, { nodeId, ownerId: owner.id });
    const url = `/api/admin/users/${owner.id}`;
    expect((await panel.get(url, reader.token)).body.data.serverCount).toBe(1);
    const refused = await panel.delete(url, administrator.token);
    expect([refused.status, refused.body.code]).toEqual([409, 'user.owns_servers']);
    expect((await panel.get('/api/auth/me', owner.token)).status).toBe(200);
    await panel.context.database.prisma.server.delete({ where: { id: server.id } });
    expect((await panel.delete(url, administrator.token)).body).toEqual({ success: true });
    expect((await panel.get('/api/auth/me', owner.token)).status).toBe(401);
    expect((await panel.get(url, administrator.token)).status).toBe(404);
    expect((await lastAudit('user.delete'))?.metadata).toMatchObject({ username: owner.username });
  });
});

describe('the list', () => {
  test('is searched for what the user wrote, filtered and sorted', async () => {
    for (const username of ['a_b', 'aXb', 'ZEBRA', 'zoo']) await create({ username: `list.${username}` });
    const names = async (query: string) =>
      (await panel.get(`/api/admin/users?${query}`, reader.token)).body.data.map(
        ({ username }: { username: string }) => username,
      );
    expect(await names('search=list.a_b')).toEqual(['list.a_b']);
    expect(await names('search=%25')).toEqual([]);
    expect(await names('search=LIST.z&sort=username')).toEqual(['list.ZEBRA', 'list.zoo']);
    expect(await names('search=list.z&sort=username&order=desc')).toEqual(['list.zoo', 'list.ZEBRA']);
    expect(await names('search=list.&sort=username&page=2&limit=3')).toEqual(['list.zoo']);
    const { roles } = (await panel.get(`/api/admin/users/${reader.id}`, reader.token)).body.data;
    const readersRole = roles.find(({ name }: { name: string }) => name.startsWith('role of'));
    expect(await names(`roleId=${readersRole.id}`)).toEqual([reader.username]);
    const disabled = (await create({})).body.data;
    await panel.put(`/api/admin/users/${disabled.id}`, { isDisabled: true }, administrator.token);
    expect(await names('isDisabled=true')).toEqual([disabled.username]);
    expect(await names(`isDisabled=false&search=${disabled.username}`)).toEqual([]);
  });
});

describe('the rights of a user', () => {
  test('are those of the roles, each of them, and the servers he owns or is a member of', async () => {
    const user = await panel.createUser(['backup.*', 'server.read']);
    const { id: nodeId } = await panel.createNode();
    await insertServer(panel, { nodeId, ownerId: user.id });
    const shared = await insertServer(panel, { nodeId, ownerId: administrator.id, name: 'shared' });
    await panel.context.database.prisma.serverAccess.create({
      data: { userId: user.id, serverId: shared.id, permissions: ['file.read'] },
    });
    const answer = await panel.get(`/api/admin/users/${user.id}/permissions`, reader.token);
    expect(answer.body.data).toMatchObject({
      userId: user.id,
      username: user.username,
      disabledAt: null,
      granted: ['backup.*', 'server.read'],
      permissions: ['server.read', 'backup.create', 'backup.read', 'backup.restore', 'backup.delete'],
      serverCount: 1,
      membershipCount: 1,
      memberships: [{ serverId: shared.id, serverName: 'shared', permissions: ['file.read'] }],
    });
  });
});
