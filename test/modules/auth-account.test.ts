import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  accountAudit,
  codeOf,
  createApiKey,
  enableTwoFactor,
  expectSessionOnly,
  statusesOf,
} from '../helpers/accounts.js';
import { insertServer } from '../helpers/console.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

const NEW_PASSWORD = 'another perfectly good one';

let panel: Panel;
beforeAll(async () => {
  panel = await startPanel();
});
afterAll(() => panel.close());

const signIn = ({ email }: { email: string }, password: string) =>
  panel.post('/api/auth/login', { email, password });

async function statusOf(token: string): Promise<number> {
  return (await panel.get('/api/auth/me', token)).status;
}

test.each([
  ['PATCH', '/api/auth/me'],
  ['DELETE', '/api/auth/me'],
  ['POST', '/api/auth/change-password'],
])('%s %s is 401 for nobody, 403 for an API key, 400 with an unknown field', async (method, url) => {
  await expectSessionOnly(panel, [method, url, {}]);
  const user = await panel.createUser();
  expect((await panel.call(method, url, { isAdmin: true }, user.token)).status).toBe(400);
});

describe('PATCH /api/auth/me', () => {
  test('changes the username without and the e-mail only with the password', async () => {
    const user = await panel.createUser();
    const renamed = await panel.patch('/api/auth/me', { username: `${user.username}_2` }, user.token);
    expect(renamed).toMatchObject({ status: 200, body: { data: { username: `${user.username}_2` } } });
    const email = `New.${user.email}`;
    const without = await panel.patch('/api/auth/me', { email }, user.token);
    expect(without).toMatchObject({ status: 400, body: { code: 'request.invalid' } });
    expect(without.body.message).toContain('body.currentPassword');
    const wrong = await panel.patch('/api/auth/me', { email, currentPassword: 'wrong' }, user.token);
    expect(wrong).toMatchObject({ status: 400, body: { code: 'auth.wrong_password' } });
    const right = await panel.patch('/api/auth/me', { email, currentPassword: user.password }, user.token);
    expect(right).toMatchObject({ status: 200, body: { data: { id: user.id, email } } });
    expect((await panel.get('/api/auth/me', user.token)).body.data).toEqual(right.body.data);
    expect((await signIn({ email: email.toLowerCase() }, user.password)).status).toBe(200);
    expect((await signIn(user, user.password)).status).toBe(401);
  });

  test('refuses what somebody else has, in any case', async () => {
    const [user, other] = [await panel.createUser(), await panel.createUser()];
    const name = await panel.patch('/api/auth/me', { username: other.username.toUpperCase() }, user.token);
    expect(name).toMatchObject({ status: 400, body: { code: 'auth.username_taken' } });
    const email = await panel.patch(
      '/api/auth/me',
      { email: other.email.toUpperCase(), currentPassword: user.password },
      user.token,
    );
    expect(email).toMatchObject({ status: 400, body: { code: 'auth.email_taken' } });
  });

  test('a change of case is a change; nothing at all writes nothing', async () => {
    const user = await panel.createUser();
    const username = user.username.toUpperCase();
    const changed = await panel.patch('/api/auth/me', { username }, user.token);
    expect(changed).toMatchObject({ status: 200, body: { data: { username } } });
    for (const body of [{}, { username }, { email: user.email }]) {
      expect((await panel.patch('/api/auth/me', body, user.token)).status).toBe(200);
    }
    const actions = await accountAudit(panel, user.id);
    expect(actions.filter((action) => action === 'user.update')).toHaveLength(1);
  });

  test('10 accounts that want one name at once: one gets it', async () => {
    const users = await Promise.all(Array.from({ length: 10 }, () => panel.createUser()));
    const answers = await Promise.all(
      users.map(({ token }, index) =>
        panel.patch('/api/auth/me', { username: index % 2 ? 'Wanted' : 'wanted' }, token),
      ),
    );
    expect(statusesOf(answers)).toEqual([200, ...Array.from({ length: 9 }, () => 400)]);
  });
});

describe('POST /api/auth/change-password', () => {
  const change = (user: TestUser, currentPassword: string, newPassword = NEW_PASSWORD) =>
    panel.post('/api/auth/change-password', { currentPassword, newPassword }, user.token);

  test('refuses a wrong current password and a new one that is too short', async () => {
    const user = await panel.createUser();
    expect(await change(user, 'wrong')).toMatchObject({ status: 400, body: { code: 'auth.wrong_password' } });
    expect(await change(user, user.password, 'short')).toMatchObject({ status: 400 });
    expect((await signIn(user, user.password)).status).toBe(200);
    expect(await accountAudit(panel, user.id)).toContain('auth.password_refused');
  });

  test('ends all other sessions and pending second steps; this session and API keys stay', async () => {
    const user = await panel.createUser();
    const { key } = await createApiKey(panel, user.token);
    const other = await signIn(user, user.password);
    const { secret } = await enableTwoFactor(panel, user);
    const { ticket } = (await signIn(user, user.password)).body;
    expect((await change(user, user.password)).body).toEqual({ success: true });
    expect(await statusOf(other.body.data.token)).toBe(401);
    expect(
      (await panel.post('/api/auth/refresh', { refreshToken: other.body.data.refreshToken })).status,
    ).toBe(401);
    expect(await statusOf(user.token)).toBe(200);
    expect(await statusOf(key)).toBe(200);
    const late = await panel.post('/api/auth/two-factor', { ticket, code: await codeOf(secret) });
    expect(late).toMatchObject({ status: 401, body: { code: 'auth.two_factor_invalid' } });
    expect((await signIn(user, user.password)).body.code).toBe('auth.invalid_credentials');
    expect((await signIn(user, NEW_PASSWORD)).body.code).toBe('auth.two_factor_required');
    expect(await accountAudit(panel, user.id)).toContain('user.change_password');
  });

  test('of 5 changes at once one wins, and its password is the one that counts', async () => {
    const user = await panel.createUser();
    const passwords = Array.from({ length: 5 }, (_, index) => `${NEW_PASSWORD} ${index}`);
    const answers = await Promise.all(passwords.map((password) => change(user, user.password, password)));
    expect(statusesOf(answers)).toEqual([200, 400, 400, 400, 400]);
    const winner = passwords[answers.findIndex(({ status }) => status === 200)] ?? '';
    expect((await signIn(user, winner)).status).toBe(200);
  });

  test('no login with the old password survives it, however close', async () => {
    const user = await panel.createUser();
    const logins = Array.from({ length: 8 }, () => signIn(user, user.password));
    const [changed, ...answers] = await Promise.all([change(user, user.password), ...logins]);
    expect(changed?.status).toBe(200);
    for (const { status, body } of answers) {
      if (status === 200) expect(await statusOf(body.data.token)).toBe(401);
      else expect(body.code).toBe('auth.invalid_credentials');
    }
  });

  test('waits in the same bounded line as logins: beyond it 503 with Retry-After', async () => {
    const user = await panel.createUser();
    const answers = await Promise.all(
      Array.from({ length: 230 }, () => change(user, user.password, user.password)),
    );
    const refused = answers.filter(({ status }) => status === 503);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({ body: { code: 'auth.busy' }, headers: { 'retry-after': '2' } });
    expect(answers.some(({ status }) => status === 200)).toBe(true);
  });
});

describe('DELETE /api/auth/me', () => {
  const leave = (user: TestUser, password = user.password) =>
    panel.call('DELETE', '/api/auth/me', { password }, user.token);

  test('takes the password', async () => {
    const user = await panel.createUser();
    expect((await panel.call('DELETE', '/api/auth/me', {}, user.token)).status).toBe(400);
    expect(await leave(user, 'wrong')).toMatchObject({ status: 400, body: { code: 'auth.wrong_password' } });
    expect(await statusOf(user.token)).toBe(200);
  });

  test('is 409 while there are servers', async () => {
    const user = await panel.createUser();
    const server = await insertServer(panel.context.database, { ownerId: user.id });
    expect(await leave(user)).toMatchObject({ status: 409, body: { code: 'user.owns_servers' } });
    await panel.context.database.prisma.server.delete({ where: { id: server.id } });
    expect((await leave(user)).body).toEqual({ success: true });
  });

  test('everything of the account ends; the audit log keeps its name', async () => {
    const user = await panel.createUser(['server.read']);
    const { key } = await createApiKey(panel, user.token);
    const other = await signIn(user, user.password);
    for (const token of [user.token, key, other.body.data.token]) expect(await statusOf(token)).toBe(200);
    expect((await leave(user)).status).toBe(200);
    for (const token of [user.token, key, other.body.data.token]) expect(await statusOf(token)).toBe(401);
    expect((await signIn(user, user.password)).body.code).toBe('auth.invalid_credentials');
    const { prisma } = panel.context.database;
    const last = await prisma.auditLog.findFirst({ where: { userId: user.id }, orderBy: { id: 'desc' } });
    expect(last).toMatchObject({ action: 'user.delete', username: user.username, resourceId: user.id });
  });

  test('of the last two administrators who go at once one has to stay', async () => {
    const two = [await panel.createAdministrator(), await panel.createAdministrator()];
    // One who is disabled could not help anybody.
    const disabled = await panel.createAdministrator();
    await panel.context.database.prisma.user.update({
      where: { id: disabled.id },
      data: { disabledAt: new Date() },
    });
    const answers = await Promise.all(two.map((user) => leave(user)));
    expect(statusesOf(answers)).toEqual([200, 409]);
    const refused = answers.find(({ status }) => status === 409);
    expect(refused?.body.code).toBe('user.last_administrator');
  });

  test('asked twice at once it happens once', async () => {
    const user = await panel.createUser();
    const answers = await Promise.all([leave(user), leave(user)]);
    expect(statusesOf(answers)).toEqual([200, 401]);
  });
});
