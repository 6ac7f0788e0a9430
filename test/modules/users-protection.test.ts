import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connectClient } from '../helpers/client.js';
import { eventually } from '../helpers/condition.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

/** So soon whoever may not be there any more is not, whichever panel he is at. */
const ENDED_WITHIN_MS = 2000;

let panel: PanelWithDoors;
let other: Panel;
let administrator: TestUser;
beforeAll(async () => {
  panel = await startPanelWithDoors();
  other = await startPanel({ database: panel.database });
});
afterAll(async () => {
  await other.close();
  await panel.close();
});
beforeEach(async () => {
  await panel.context.database.prisma.userRole.deleteMany();
  administrator = await panel.createAdministrator();
});

const url = ({ id }: TestUser, rest = '') => `/api/admin/users/${id}${rest}`;

/** What can be done to somebody: each in its own way ends what he was. */
const ATTACKS: [string, (target: TestUser) => [string, string, unknown]][] = [
  ['renamed', (target) => ['PUT', url(target), { username: 'taken.over' }]],
  ['disabled', (target) => ['PUT', url(target), { isDisabled: true }]],
  ['deleted', (target) => ['DELETE', url(target), undefined]],
  ['given a password', (target) => ['POST', url(target, '/reset-password'), { password: 'long enough' }]],
  ['freed of two factors', (target) => ['POST', url(target, '/disable-two-factor'), {}]],
  ['stripped of roles', (target) => ['PUT', url(target, '/roles'), { roleIds: [] }]],
];

async function roleWith(permissions: string[]): Promise<string> {
  const name = `role ${Math.random()}`;
  return (await panel.context.database.prisma.role.create({ data: { name, permissions } })).id;
}

async function createApiKey(user: TestUser, permissions = ['*']): Promise<string> {
  const answer = await panel.post('/api/auth/api-keys', { name: 'key', permissions }, user.token);
  expect(answer.status).toBe(201);
  return String(answer.body.data.key ?? answer.body.data.token);
}

describe('somebody with a right that the actor does not have', () => {
  test.each(ATTACKS)('is not %s: 403 permission.not_held', async (_, attack) => {
    const lesser = await panel.createUser(['admin.*', 'server.read']);
    const target = await panel.createUser(['server.*']);
    for (const victim of [target, administrator]) {
      const answer = await panel.call(...attack(victim), lesser.token);
      expect([answer.status, answer.body.code]).toEqual([403, 'permission.not_held']);
    }
    expect((await panel.get('/api/auth/me', target.token)).body.data.username).toBe(target.username);
  });

  test.each(ATTACKS)(
    'is not %s with an API key of an administrator that lacks it either',
    async (_, attack) => {
      const key = await createApiKey(administrator, ['admin.write']);
      const target = await panel.createUser(['server.read']);
      const answer = await panel.call(...attack(target), key);
      expect([answer.status, answer.body.code]).toEqual([403, 'permission.not_held']);
    },
  );

  test('is touched by who has as much', async () => {
    const equal = await panel.createUser(['admin.*', 'server.*']);
    const target = await panel.createUser(['server.start', 'admin.write']);
    expect((await panel.put(url(target), { username: 'equal.to' }, equal.token)).status).toBe(200);
  });

  test('is not made, nor is a role with such a right given or taken: 403', async () => {
    const lesser = await panel.createUser(['admin.*', 'server.read']);
    const target = await panel.createUser();
    for (const entry of ['*', 'server.*', 'server.start']) {
      const roleIds = [await roleWith([entry])];
      const account = { email: 'x@example.com', username: 'xxx', password: 'long enough', roleIds };
      for (const answer of [
        await panel.post('/api/admin/users', account, lesser.token),
        await panel.put(url(target, '/roles'), { roleIds }, lesser.token),
        await panel.put(url(lesser, '/roles'), { roleIds }, lesser.token),
      ]) {
        expect([answer.status, answer.body.code]).toEqual([403, 'permission.not_held']);
        expect(answer.body.message).toContain(entry);
      }
    }
    const given = await panel.put(
      url(target, '/roles'),
      { roleIds: [await roleWith(['admin.read', 'server.read'])] },
      lesser.token,
    );
    expect(given.status).toBe(200);
  });
});

describe('one’s own account', () => {
  test('is neither deleted nor disabled, and its password and e-mail are not set without the old one: 409', async () => {
    for (const [method, address, body] of [
      ['DELETE', url(administrator), undefined],
      ['PUT', url(administrator), { isDisabled: true }],
      ['PUT', url(administrator), { email: 'other@example.com' }],
      ['POST', url(administrator, '/reset-password'), {}],
      ['POST', url(administrator, '/disable-two-factor'), {}],
    ] as const) {
      const answer = await panel.call(method, address, body, administrator.token);
      expect([answer.status, answer.body.code]).toEqual([409, 'user.is_self']);
    }
    const sameEmail = { email: administrator.email, username: administrator.username, isDisabled: false };
    expect((await panel.put(url(administrator), sameEmail, administrator.token)).status).toBe(200);
  });
});

describe('the last administrator', () => {
  test('keeps the role until there is another one who is not disabled: 409', async () => {
    const second = await panel.createAdministrator();
    await panel.put(url(second), { isDisabled: true }, administrator.token);
    const stripped = () => panel.put(url(administrator, '/roles'), { roleIds: [] }, administrator.token);
    const refused = await stripped();
    expect([refused.status, refused.body.code]).toEqual([409, 'user.last_administrator']);
    await panel.put(url(second), { isDisabled: false }, administrator.token);
    expect((await stripped()).status).toBe(200);
    expect((await panel.get('/api/admin/users', administrator.token)).status).toBe(403);
  });

  test.each(
    ATTACKS.filter(([name]) => name === 'stripped of roles' || name === 'disabled' || name === 'deleted'),
  )('remains when two of them have each other %s at once, at two panels', async (_, attack) => {
    for (let round = 0; round < 5; round += 1) {
      await panel.context.database.prisma.userRole.deleteMany();
      const [first, second] = [await panel.createAdministrator(), await panel.createAdministrator()];
      // Both panels know already that they are administrators.
      await Promise.all([panel.get('/api/auth/me', first.token), other.get('/api/auth/me', second.token)]);
      const answers = await Promise.all([
        panel.call(...attack(second), first.token),
        other.call(...attack(first), second.token),
      ]);
      const succeeded = answers.filter(({ status }) => status === 200);
      expect(answers.map(({ status }) => status).sort()).toHaveLength(2);
      expect(succeeded).toHaveLength(1);
      const left = await panel.context.database.prisma.user.count({
        where: { disabledAt: null, roles: { some: { role: { permissions: { has: '*' } } } } },
      });
      expect(left).toBe(1);
    }
  });

  test('who has just lost his rights does nothing more with them, at any panel', async () => {
    const third = await panel.createAdministrator();
    const target = await panel.createUser();
    await other.get('/api/auth/me', third.token);
    await panel.put(url(third, '/roles'), { roleIds: [] }, administrator.token);
    // The other panel has not looked his rights up again yet.
    const answer = await other.delete(url(target), third.token);
    expect([answer.status, answer.body.code]).toEqual([403, 'permission.denied']);
  });
});

describe('signing in', () => {
  test.each([
    ['disabled', (target: TestUser) => panel.put(url(target), { isDisabled: true }, administrator.token)],
    ['deleted', (target: TestUser) => panel.delete(url(target), administrator.token)],
    [
      'given a password',
      (target: TestUser) => panel.post(url(target, '/reset-password'), {}, administrator.token),
    ],
  ])(
    'somebody who is %s loses sessions, API keys and sockets everywhere within two seconds',
    async (_, end) => {
      const target = await panel.createUser();
      const key = await createApiKey(target);
      const clients = await Promise.all(
        [target.token, key].map((token) => connectClient({ port: panel.port, token })),
      );
      for (const token of [target.token, key])
        expect((await other.get('/api/auth/me', token)).status).toBe(200);
      const endedAtMs = Date.now();
      expect((await end(target)).status).toBe(200);
      for (const client of clients) expect((await client.closed()).code).toBe(4401);
      for (const token of [target.token, key]) {
        expect((await panel.get('/api/auth/me', token)).status).toBe(401);
        await eventually('the other panel refuses him', async () => {
          return (await other.get('/api/auth/me', token)).status === 401;
        });
      }
      expect(Date.now() - endedAtMs).toBeLessThan(ENDED_WITHIN_MS);
    },
  );

  test('a user who is enabled again signs in anew: his old session stays ended, his API key works', async () => {
    const target = await panel.createUser();
    const key = await createApiKey(target);
    await panel.put(url(target), { isDisabled: true }, administrator.token);
    const login = { email: target.email, password: target.password };
    expect((await panel.post('/api/auth/login', login)).status).toBe(401);
    await panel.put(url(target), { isDisabled: false }, administrator.token);
    expect((await panel.get('/api/auth/me', target.token)).status).toBe(401);
    expect((await panel.get('/api/auth/me', key)).status).toBe(200);
    expect((await panel.post('/api/auth/login', login)).status).toBe(200);
    const actions = await panel.context.database.prisma.auditLog.findMany({
      where: { resourceType: 'user', resourceId: target.id, userId: administrator.id },
      select: { action: true },
      orderBy: { id: 'asc' },
    });
    expect(actions.map(({ action }) => action)).toEqual(['user.disable', 'user.enable']);
  });

  test('a password that is reset without a new one is made up, shown once and nowhere else', async () => {
    const target = await panel.createUser();
    const answer = await panel.post(url(target, '/reset-password'), undefined, administrator.token);
    expect(answer.body.data).toEqual({
      password: expect.stringMatching(/^[\w-]{20}$/),
      // That of the registration and that of the login.
      endedSessions: 2,
      revokedApiKeys: 0,
      removedSshKeys: 0,
    });
    const { password } = answer.body.data;
    const login = (secret: string) =>
      panel.post('/api/auth/login', { email: target.email, password: secret });
    expect((await login(target.password)).status).toBe(401);
    expect((await login(password)).status).toBe(200);
    const entries = await panel.context.database.prisma.auditLog.findMany({
      where: { resourceId: target.id },
    });
    const stored = JSON.stringify(entries, (_, value) => (typeof value === 'bigint' ? String(value) : value));
    expect(stored).toContain('user.reset_password');
    expect(stored).not.toContain(password);
    expect((await panel.get(url(target), administrator.token)).text).not.toContain('argon2');
    const chosen = { password: 'chosen by somebody' };
    const second = await panel.post(url(target, '/reset-password'), chosen, administrator.token);
    expect(second.body.data).toEqual({ endedSessions: 1, revokedApiKeys: 0, removedSshKeys: 0 });
    expect((await login(chosen.password)).status).toBe(200);
  });

  test('two factors are turned off for who has lost them, once', async () => {
    const target = await panel.createUser();
    const { prisma } = panel.context.database;
    await prisma.twoFactor.create({
      data: { userId: target.id, secretEncrypted: 'sealed', confirmedAt: new Date() },
    });
    await prisma.recoveryCode.create({ data: { userId: target.id, codeHash: 'hash' } });
    expect((await panel.get(url(target), administrator.token)).body.data.twoFactorEnabled).toBe(true);
    const turnOff = () => panel.post(url(target, '/disable-two-factor'), undefined, administrator.token);
    expect((await turnOff()).body).toEqual({ success: true });
    expect((await panel.get(url(target), administrator.token)).body.data.twoFactorEnabled).toBe(false);
    expect(await prisma.recoveryCode.count({ where: { userId: target.id } })).toBe(0);
    const again = await turnOff();
    expect([again.status, again.body.code]).toEqual([409, 'auth.two_factor_disabled']);
  });

  test('roles are given and taken at once, and both are in the audit log', async () => {
    const target = await panel.createUser();
    const roleId = await roleWith(['admin.read']);
    const given = await panel.put(url(target, '/roles'), { roleIds: [roleId] }, administrator.token);
    expect(given.body.data.roles).toMatchObject([{ id: roleId, permissions: ['admin.read'] }]);
    expect((await panel.get('/api/admin/users', target.token)).status).toBe(200);
    await panel.put(url(target, '/roles'), { roleIds: [] }, administrator.token);
    expect((await panel.get('/api/admin/users', target.token)).status).toBe(403);
    const entries = await panel.context.database.prisma.auditLog.findMany({
      where: { action: 'user.update_roles', resourceId: target.id },
      orderBy: { id: 'asc' },
    });
    const { name } = given.body.data.roles[0];
    expect(entries.map(({ metadata }) => metadata)).toMatchObject([
      { before: { roles: [] }, after: { roles: [name] } },
      { before: { roles: [name] }, after: { roles: [] } },
    ]);
  });
});
