import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PERMISSIONS } from '../../src/lib/permissions.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

let panel: Panel;
let other: Panel;
let administrator: TestUser;
let reader: TestUser;
beforeAll(async () => {
  panel = await startPanel();
  other = await startPanel({ database: panel.database });
  await panel.context.database.prisma.role.createMany({
    data: [
      { name: 'Administrator', permissions: ['*'], isBuiltIn: true },
      { name: 'Support', permissions: ['admin.read'], isBuiltIn: true },
    ],
  });
  administrator = await panel.createAdministrator();
  reader = await panel.createUser(['admin.read']);
});
afterAll(async () => {
  await other.close();
  await panel.close();
});

const BODY = { name: 'Role', permissions: [] };

const ROUTES = [
  ['GET', '/api/admin/roles', undefined],
  ['POST', '/api/admin/roles', BODY],
  ['GET', '/api/admin/roles/x', undefined],
  ['PUT', '/api/admin/roles/x', BODY],
  ['DELETE', '/api/admin/roles/x', undefined],
] as const;

test.each(ROUTES)('%s %s is 401 without a token and 403 without a right', async (method, url, body) => {
  const stranger = await panel.createUser(['server.*']);
  expect((await panel.call(method, url, body)).status).toBe(401);
  const answer = await panel.call(method, url, body, stranger.token);
  expect([answer.status, answer.body.code]).toEqual([403, 'permission.denied']);
});

test.each(ROUTES.filter(([method]) => method !== 'GET'))(
  '%s %s is 403 for who may only read',
  async (method, url, body) => {
    expect((await panel.call(method, url, body, reader.token)).body.code).toBe('permission.denied');
  },
);

test.each(ROUTES.filter(([, url]) => url.endsWith('/x')))(
  '%s %s is 404 for a role that does not exist',
  async (method, url, body) => {
    const answer = await panel.call(method, url, body, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([404, 'role.not_found']);
  },
);

test.each([
  ['no name', { permissions: [] }, 'body.name'],
  ['no permissions', { name: 'x' }, 'body.permissions'],
  ['a right that does not exist', { name: 'x', permissions: ['server.fly'] }, 'is not a permission'],
  ['a wildcard that does not exist', { name: 'x', permissions: ['*.read'] }, 'is not a permission'],
  ['a right twice', { name: 'x', permissions: ['file.read', 'file.read'] }, 'names a permission twice'],
  ['an unknown field', { name: 'x', permissions: [], isBuiltIn: true }, '"isBuiltIn"'],
])('creating one with %s is 400', async (_, body, named) => {
  const answer = await panel.post('/api/admin/roles', body, administrator.token);
  expect([answer.status, answer.body.code]).toEqual([400, 'request.invalid']);
  expect(answer.body.message).toContain(named);
});

async function create(permissions: string[], token = administrator.token) {
  return panel.post('/api/admin/roles', { name: `role ${Math.random()}`, permissions }, token);
}

describe('a role', () => {
  test('is created, listed, changed and deleted, and each is in the audit log', async () => {
    const body = { name: ' Moderator ', description: 'Watches', permissions: ['server.read', 'file.*'] };
    const created = await panel.post('/api/admin/roles', body, administrator.token);
    expect(created.status).toBe(201);
    expect(created.body.data).toEqual({
      id: expect.any(String),
      name: 'Moderator',
      description: 'Watches',
      permissions: ['server.read', 'file.*'],
      isBuiltIn: false,
      userCount: 0,
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    });
    const { id } = created.body.data;
    expect((await panel.get(`/api/admin/roles/${id}`, reader.token)).body).toEqual(created.body);
    const list = await panel.get('/api/admin/roles?limit=100', reader.token);
    expect(list.body.data).toContainEqual(created.body.data);
    expect(list.body.pagination).toMatchObject({ page: 1, limit: 100, pages: 1 });
    const changed = await panel.put(
      `/api/admin/roles/${id}`,
      { permissions: ['server.read'] },
      administrator.token,
    );
    expect(changed.body.data).toMatchObject({ name: 'Moderator', permissions: ['server.read'] });
    expect((await panel.delete(`/api/admin/roles/${id}`, administrator.token)).body).toEqual({
      success: true,
    });
    const entries = await panel.context.database.prisma.auditLog.findMany({
      where: { resourceType: 'role', resourceId: id },
      orderBy: { id: 'asc' },
    });
    expect(entries.map(({ action, metadata }) => ({ action, metadata }))).toMatchObject([
      { action: 'role.create', metadata: { name: 'Moderator', permissions: ['server.read', 'file.*'] } },
      {
        action: 'role.update',
        metadata: {
          name: 'Moderator',
          before: { permissions: ['server.read', 'file.*'] },
          after: { permissions: ['server.read'] },
        },
      },
      { action: 'role.delete', metadata: { name: 'Moderator' } },
    ]);
  });

  test('counts at once for those who have it, when its rights change', async () => {
    const user = await panel.createUser();
    const { id } = (await create(['admin.read'])).body.data;
    await panel.put(`/api/admin/users/${user.id}/roles`, { roleIds: [id] }, administrator.token);
    expect((await panel.get('/api/admin/roles', user.token)).status).toBe(200);
    expect((await panel.get(`/api/admin/roles/${id}`, user.token)).body.data.userCount).toBe(1);
    await panel.put(`/api/admin/roles/${id}`, { permissions: [] }, administrator.token);
    expect((await panel.get('/api/admin/roles', user.token)).status).toBe(403);
  });

  test('that somebody has is not deleted: 409', async () => {
    const user = await panel.createUser();
    const { id } = (await create([])).body.data;
    await panel.put(`/api/admin/users/${user.id}/roles`, { roleIds: [id] }, administrator.token);
    const answer = await panel.delete(`/api/admin/roles/${id}`, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([409, 'role.in_use']);
  });

  test('has a name of its own, also when ten are made at once: 409', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        panel.post('/api/admin/roles', { ...BODY, name: 'Race' }, administrator.token),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([
      201,
      ...Array.from({ length: 9 }, () => 409),
    ]);
    const { id } = (await create([])).body.data;
    const renamed = await panel.put(`/api/admin/roles/${id}`, { name: 'Race' }, administrator.token);
    expect([renamed.status, renamed.body.code]).toEqual([409, 'role.name_taken']);
  });
});

describe('a right that the actor does not have', () => {
  test('is neither in a role that he makes nor in one that he changes or deletes, before or after: 403', async () => {
    const lesser = await panel.createUser(['admin.*', 'server.read']);
    const url = async (permissions: string[]) =>
      `/api/admin/roles/${(await create(permissions)).body.data.id}`;
    for (const answer of [
      await create(['server.start'], lesser.token),
      await create(['server.*'], lesser.token),
      await create(['*'], lesser.token),
      await panel.put(await url(['admin.read']), { permissions: ['server.start'] }, lesser.token),
      await panel.put(await url(['server.start']), { permissions: [] }, lesser.token),
      await panel.put(await url(['server.start']), { name: 'renamed' }, lesser.token),
      await panel.delete(await url(['*']), lesser.token),
    ]) {
      expect([answer.status, answer.body.code]).toEqual([403, 'permission.not_held']);
    }
    expect((await create(['admin.read', 'server.read'], lesser.token)).status).toBe(201);
  });
});

describe('what the panel cannot do without', () => {
  test('is not deleted or renamed, and the rights of Administrator stay: 409', async () => {
    const { data } = (await panel.get('/api/admin/roles?limit=100', administrator.token)).body;
    const url = (name: string) =>
      `/api/admin/roles/${data.find((role: { name: string }) => role.name === name).id}`;
    for (const answer of [
      await panel.delete(url('Support'), administrator.token),
      await panel.put(url('Support'), { name: 'Helpers' }, administrator.token),
      await panel.put(url('Administrator'), { permissions: ['admin.*'] }, administrator.token),
    ]) {
      expect([answer.status, answer.body.code]).toEqual([409, 'role.built_in']);
    }
    const support = { name: 'Support', description: 'Looks', permissions: ['admin.read', 'server.read'] };
    const changed = await panel.put(url('Support'), support, administrator.token);
    expect(changed.body.data).toMatchObject({ ...support, isBuiltIn: true });
  });

  test('is one administrator: the last role that makes one keeps "*", also when two are changed at once', async () => {
    const { prisma } = panel.context.database;
    for (let round = 0; round < 5; round += 1) {
      await prisma.userRole.deleteMany();
      const [first, second] = [await panel.createAdministrator(), await other.createAdministrator()];
      const roleOf = async ({ id }: TestUser) => {
        const row = await prisma.userRole.findFirstOrThrow({
          where: { userId: id, role: { permissions: { has: '*' } } },
        });
        return `/api/admin/roles/${row.roleId}`;
      };
      const answers = await Promise.all([
        panel.put(await roleOf(first), { permissions: ['admin.*'] }, second.token),
        other.put(await roleOf(second), { permissions: ['admin.*'] }, first.token),
      ]);
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
      const left = answers[0].status === 200 ? second : first;
      const refused = await panel.put(await roleOf(left), { permissions: ['admin.*'] }, left.token);
      expect([refused.status, refused.body.code]).toEqual([409, 'user.last_administrator']);
    }
  });
});

test('the catalogue has every right, what it is about, and whether only a role gives it', async () => {
  // Whoever makes somebody a member chooses from it.
  const { token } = await panel.createUser();
  expect((await panel.get('/api/admin/permissions')).status).toBe(401);
  const { data } = (await panel.get('/api/admin/permissions', token)).body;
  expect(data.permissions.map(({ name }: { name: string }) => name)).toEqual(PERMISSIONS);
  expect(data.permissions).toContainEqual({
    name: 'server.logs.read',
    resource: 'server',
    action: 'logs.read',
    isRoleOnly: false,
  });
  expect(data.permissions).toContainEqual({
    name: 'rate-limit.bypass',
    resource: 'rate-limit',
    action: 'bypass',
    isRoleOnly: true,
  });
  expect(data.wildcards).toEqual(expect.arrayContaining(['*', 'server.*', 'rate-limit.*']));
  // Whatever it says can be given.
  const administrator = await panel.createAdministrator();
  const everything = [...data.wildcards, ...data.permissions.map(({ name }: { name: string }) => name)];
  expect((await create(everything, administrator.token)).status).toBe(201);
});
