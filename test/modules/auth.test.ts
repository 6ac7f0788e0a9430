import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accountAudit } from '../helpers/accounts.js';
import { type Panel, startPanel } from '../helpers/panel.js';

const ORIGIN = { ipAddress: '127.0.0.1', userAgent: undefined };

let panel: Panel;
beforeAll(async () => {
  panel = await startPanel();
  await panel.context.database.prisma.role.create({
    data: { name: 'User', permissions: [], isBuiltIn: true },
  });
});
afterAll(() => panel.close());

const johndoe = { email: 'user@example.com', password: 'SecurePassword123!', username: 'johndoe' };

function payloadOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >;
}

describe('POST /api/auth/register', () => {
  test.each([
    ['no body', undefined, 'body'],
    ['an array', [], 'body'],
    ['no e-mail', { password: 'long enough', username: 'somebody' }, 'body.email'],
    ['an e-mail without a domain', { ...johndoe, email: 'nobody' }, 'body.email: Invalid email format'],
    ['a password of 7 characters', { ...johndoe, password: '1234567' }, 'body.password: Password too weak'],
    ['a password of 129 characters', { ...johndoe, password: 'x'.repeat(129) }, 'body.password'],
    ['a password that is a number', { ...johndoe, password: 1234567890 }, 'body.password'],
    ['a username of 2 characters', { ...johndoe, username: 'ab' }, 'body.username'],
    ['a username with a space', { ...johndoe, username: 'john doe' }, 'body.username'],
    ['an unknown field', { ...johndoe, isAdmin: true }, '"isAdmin"'],
    ['a NUL', { ...johndoe, password: 'password\0more' }, 'body.password'],
    ['half a surrogate pair', { ...johndoe, password: 'password\ud800' }, 'body.password'],
  ])('refuses %s with 400', async (_, body, named) => {
    const answer = await panel.post('/api/auth/register', body);
    expect(answer).toMatchObject({
      status: 400,
      body: { statusCode: 400, error: 'Bad Request', code: 'request.invalid' },
    });
    expect(answer.body.message).toContain(named);
  });

  test('answers as documented, plus refreshToken and expiresIn', async () => {
    const answer = await panel.post('/api/auth/register', johndoe);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      success: true,
      data: {
        userId: expect.stringMatching(/^c[a-z0-9]{20,}$/),
        email: 'user@example.com',
        username: 'johndoe',
        token: expect.stringMatching(/^eyJ/),
        refreshToken: expect.stringMatching(/^ctr_/),
        expiresIn: 86_400,
      },
    });
    const payload = payloadOf(answer.body.data.token);
    expect(payload).toEqual({
      userId: answer.body.data.userId,
      email: 'user@example.com',
      username: 'johndoe',
      permissions: [],
      sid: expect.any(String),
      typ: 'access',
      iss: 'catalyst',
      iat: expect.any(Number),
      exp: expect.any(Number),
    });
    expect(Number(payload.exp) - Number(payload.iat)).toBe(86_400);
  });

  test('gives the role User to whoever registers', async () => {
    const user = await panel.context.database.prisma.user.findUniqueOrThrow({
      where: { emailKey: johndoe.email },
      include: { roles: { include: { role: true } } },
    });
    expect(user.roles.map(({ role }) => role.name)).toEqual(['User']);
  });

  test('refuses an e-mail and a username that differ in case or space only', async () => {
    const email = await panel.post('/api/auth/register', {
      ...johndoe,
      email: '  USER@Example.com ',
      username: 'another',
    });
    expect(email).toMatchObject({
      status: 400,
      body: { code: 'auth.email_taken', message: 'Email already exists' },
    });
    const username = await panel.post('/api/auth/register', {
      ...johndoe,
      email: 'x@example.com',
      username: 'JohnDoe',
    });
    expect(username).toMatchObject({ status: 400, body: { code: 'auth.username_taken' } });
  });

  test('20 at once with one e-mail make one account, the others get 400', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        panel.post('/api/auth/register', {
          email: index % 2 ? 'Race@example.com' : 'race@example.com',
          password: 'SecurePassword123!',
          username: `racer${index}`,
        }),
      ),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([200, ...Array.from({ length: 19 }, () => 400)]);
    expect(await panel.context.database.prisma.user.count({ where: { emailKey: 'race@example.com' } })).toBe(
      1,
    );
  });

  test('is 403 when registration is closed', async () => {
    const closed = await startPanel({ settings: { REGISTRATION: 'closed' } });
    const answer = await closed.post('/api/auth/register', johndoe);
    expect(answer).toMatchObject({ status: 403, body: { code: 'auth.registration_closed' } });
    await closed.close();
  });
});

describe('POST /api/auth/login', () => {
  test('refuses a body with an unknown field', async () => {
    const answer = await panel.post('/api/auth/login', { ...johndoe });
    expect(answer).toMatchObject({ status: 400 });
    expect(answer.body.message).toContain('"username"');
  });

  test('answers as documented', async () => {
    const { email, password } = johndoe;
    const answer = await panel.post('/api/auth/login', { email: ` ${email.toUpperCase()}`, password });
    expect(answer.status).toBe(200);
    expect(answer.body.data).toEqual({
      userId: expect.any(String),
      email: 'user@example.com',
      username: 'johndoe',
      token: expect.any(String),
      refreshToken: expect.any(String),
      expiresIn: 86_400,
    });
  });

  test('an unknown e-mail and a wrong password get the same 401', async () => {
    const unknown = await panel.post('/api/auth/login', {
      email: 'nobody@example.com',
      password: 'whatever!',
    });
    const wrong = await panel.post('/api/auth/login', { email: johndoe.email, password: 'whatever!' });
    expect(unknown.status).toBe(401);
    expect({ ...unknown.body, requestId: '' }).toEqual({ ...wrong.body, requestId: '' });
    expect(wrong.body).toMatchObject({ message: 'Invalid credentials', code: 'auth.invalid_credentials' });
  });

  test('an unknown e-mail takes as long as a wrong password', async () => {
    async function elapsedMs(email: string): Promise<number> {
      const startedAt = performance.now();
      await panel.post('/api/auth/login', { email, password: 'whatever!' });
      return performance.now() - startedAt;
    }
    // In turns, and the quickest of many: whatever else the machine does only ever makes one slower.
    let [knownMs, unknownMs] = [Infinity, Infinity];
    for (let account = 0; account < 6; account += 1) {
      const { email } = await panel.createUser();
      // The fifth failure would slow down the next.
      for (let round = 0; round < 4; round += 1) {
        knownMs = Math.min(knownMs, await elapsedMs(email));
        unknownMs = Math.min(unknownMs, await elapsedMs(`nobody${account}@example.com`));
      }
    }
    // Without the dummy hash it is about 0.2.
    expect(unknownMs / knownMs).toBeGreaterThan(0.6);
  });

  test('writes who signed in and who failed to, but not an e-mail that nobody has', async () => {
    const user = await panel.createUser();
    await panel.app.inject({
      method: 'POST',
      url: '/api/auth/login',
      headers: { 'user-agent': `a browser ${'x'.repeat(1000)}` },
      remoteAddress: '192.0.2.9',
      payload: { email: user.email, password: 'a wrong one' },
    });
    await panel.post('/api/auth/login', { email: 'planted-nobody@example.com', password: 'a wrong one' });
    const { prisma } = panel.context.database;
    const rows = await prisma.auditLog.findMany({ orderBy: { id: 'desc' }, take: 3 });
    expect(rows).toMatchObject([
      { action: 'auth.login_failed', userId: null, username: null, resourceType: 'unknown_email' },
      { action: 'auth.login_failed', userId: user.id, username: user.username, ipAddress: '192.0.2.9' },
      { action: 'auth.login', userId: user.id, resourceType: 'session' },
    ]);
    expect(rows[1]?.userAgent?.length).toBe(256);
    expect(JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? '' : value))).not.toContain(
      'planted-nobody',
    );
  });

  test('refuses a disabled account like a wrong password', async () => {
    const user = await panel.createUser();
    await panel.context.database.prisma.user.update({
      where: { id: user.id },
      data: { disabledAt: new Date() },
    });
    const answer = await panel.post('/api/auth/login', { email: user.email, password: user.password });
    expect(answer).toMatchObject({ status: 401, body: { code: 'auth.invalid_credentials' } });
  });
});

describe('GET /api/auth/me', () => {
  test('is 401 without a token, and says how to send one', async () => {
    const answer = await panel.get('/api/auth/me');
    expect(answer).toMatchObject({ status: 401, body: { error: 'Unauthorized', code: 'auth.required' } });
    expect(answer.headers['www-authenticate']).toBe('Bearer');
  });

  test('answers as documented', async () => {
    const user = await panel.createUser();
    const answer = await panel.get('/api/auth/me', user.token);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      success: true,
      data: {
        id: user.id,
        email: user.email,
        username: user.username,
        createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      },
    });
  });
});

describe('access tokens', () => {
  const SECRET = 'a secret for tests, of 32 bytes or more';

  function forge(header: object, payload: object, secret = SECRET): string {
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
    const signed = `${encode(header)}.${encode(payload)}`;
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  }

  test('only count when they are ours, whole, of the right kind and not expired', async () => {
    const user = await panel.createUser();
    const payload = payloadOf(user.token);
    const header = { alg: 'HS256', typ: 'JWT' };
    const { exp: _, ...withoutExpiry } = payload;
    expect((await panel.get('/api/auth/me', forge(header, payload))).status).toBe(200);
    const forged = {
      'another key': forge(header, payload, 'another secret of at least 32 bytes!'),
      'no algorithm': `${forge({ alg: 'none', typ: 'JWT' }, payload).split('.').slice(0, 2).join('.')}.`,
      'another algorithm': forge({ alg: 'HS512', typ: 'JWT' }, payload),
      'no expiry': forge(header, withoutExpiry),
      expired: forge(header, { ...payload, exp: 1 }),
      'another issuer': forge(header, { ...payload, iss: 'elsewhere' }),
      'another kind': forge(header, { ...payload, typ: 'refresh' }),
      "another user's session": forge(header, { ...payload, userId: 'somebody' }),
      'a session with a NUL in it': forge(header, { ...payload, sid: 'a\0' }),
      'a user with a NUL in it': forge(header, { ...payload, userId: 'a\0' }),
      'no session': forge(header, { ...payload, sid: 'gone' }),
      'cut off': user.token.slice(0, -1),
      'not a token': 'xyz',
      huge: `eyJ${'a'.repeat(20_000)}`,
    };
    for (const [name, token] of Object.entries(forged)) {
      const answer = await panel.get('/api/auth/me', token);
      expect([name, answer.status, answer.body.code]).toEqual([name, 401, 'auth.invalid_token']);
    }
  });

  test('the permissions in the token count for nothing', async () => {
    const user = await panel.createUser();
    const forged = forge({ alg: 'HS256', typ: 'JWT' }, { ...payloadOf(user.token), permissions: ['*'] });
    expect((await panel.post('/api/locations', { name: 'mine' }, forged)).status).toBe(403);
  });

  test('stop working when the account is disabled elsewhere, within 2 s', async () => {
    const user = await panel.createUser();
    expect((await panel.get('/api/auth/me', user.token)).status).toBe(200);
    await panel.context.database.prisma.user.update({
      where: { id: user.id },
      data: { disabledAt: new Date() },
    });
    await expect
      .poll(() => panel.get('/api/auth/me', user.token).then(({ status }) => status), { timeout: 2000 })
      .toBe(401);
  });

  test('changed rights count at once when the bus says so', async () => {
    const user = await panel.createUser();
    expect((await panel.post('/api/locations', {}, user.token)).status).toBe(403);
    await panel.context.database.prisma.role.create({
      data: { name: 'promoted', permissions: ['admin.*'], users: { create: { userId: user.id } } },
    });
    panel.context.bus.emit('access.changed', { userId: user.id });
    expect((await panel.post('/api/locations', {}, user.token)).status).toBe(400);
  });

  test('a check that is cached costs microseconds', async () => {
    const user = await panel.createUser();
    await panel.context.auth.authenticate(user.token, ORIGIN);
    const startedAt = performance.now();
    for (let round = 0; round < 10_000; round += 1) await panel.context.auth.authenticate(user.token, ORIGIN);
    expect((performance.now() - startedAt) / 10_000).toBeLessThan(0.05);
  });
});

describe('POST /api/auth/refresh', () => {
  async function login() {
    const user = await panel.createUser();
    const { email, password } = user;
    const { body } = await panel.post('/api/auth/login', { email, password });
    return body.data as { token: string; refreshToken: string; userId: string };
  }

  test('refuses what is not a refresh token', async () => {
    expect((await panel.post('/api/auth/refresh', {})).status).toBe(400);
    const { token } = await login();
    for (const refreshToken of [token, 'ctr_unknown']) {
      const answer = await panel.post('/api/auth/refresh', { refreshToken });
      expect(answer).toMatchObject({ status: 401, body: { code: 'auth.invalid_token' } });
    }
  });

  test('answers a token that works and another refresh token', async () => {
    const first = await login();
    const answer = await panel.post('/api/auth/refresh', { refreshToken: first.refreshToken });
    expect(answer.status).toBe(200);
    expect(answer.body.data).toMatchObject({ userId: first.userId, expiresIn: 86_400 });
    expect(answer.body.data.refreshToken).not.toBe(first.refreshToken);
    expect((await panel.get('/api/auth/me', answer.body.data.token)).status).toBe(200);
  });

  test('the second use of a token ends the session and everything that came from it', async () => {
    const first = await login();
    const second = await panel.post('/api/auth/refresh', { refreshToken: first.refreshToken });
    expect((await panel.post('/api/auth/refresh', { refreshToken: first.refreshToken })).status).toBe(401);
    expect((await panel.get('/api/auth/me', first.token)).status).toBe(401);
    expect((await panel.get('/api/auth/me', second.body.data.token)).status).toBe(401);
    const { refreshToken } = second.body.data;
    expect((await panel.post('/api/auth/refresh', { refreshToken })).status).toBe(401);
  });

  test('remembers on the session when and from where it was last refreshed', async () => {
    const first = await login();
    const { prisma } = panel.context.database;
    const before = await prisma.session.findFirstOrThrow({
      where: { userId: first.userId },
      orderBy: { createdAt: 'desc' },
    });
    await panel.app.inject({
      method: 'POST',
      url: '/api/auth/refresh',
      headers: { 'user-agent': 'another browser' },
      remoteAddress: '192.0.2.77',
      payload: { refreshToken: first.refreshToken },
    });
    const after = await prisma.session.findUniqueOrThrow({ where: { id: before.id } });
    expect(after).toMatchObject({ ipAddress: '192.0.2.77', userAgent: 'another browser' });
    expect(after.lastUsedAt.getTime()).toBeGreaterThan(before.lastUsedAt.getTime());
  });

  test('the second use of a token is audited once, and the refreshing itself is not', async () => {
    const first = await login();
    for (let use = 0; use < 3; use += 1) {
      await panel.post('/api/auth/refresh', { refreshToken: first.refreshToken });
    }
    expect(await accountAudit(panel, first.userId)).toEqual([
      'auth.register',
      'auth.login',
      'auth.login',
      'auth.refresh_reuse',
    ]);
  });

  test('a token of a disabled account is not used up by being refused', async () => {
    const first = await login();
    const disable = (disabledAt: Date | null) =>
      panel.context.database.prisma.user.update({ where: { id: first.userId }, data: { disabledAt } });
    await disable(new Date());
    expect((await panel.post('/api/auth/refresh', { refreshToken: first.refreshToken })).status).toBe(401);
    await disable(null);
    expect((await panel.post('/api/auth/refresh', { refreshToken: first.refreshToken })).status).toBe(200);
  });

  test('10 uses at once: one at most succeeds, and the session ends', async () => {
    const { refreshToken, token } = await login();
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => panel.post('/api/auth/refresh', { refreshToken })),
    );
    expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1);
    expect(answers.every(({ status }) => status === 200 || status === 401)).toBe(true);
    expect((await panel.get('/api/auth/me', token)).status).toBe(401);
  });

  test('an expired refresh token and a disabled account get 401', async () => {
    const expired = await login();
    await panel.context.database.prisma.refreshToken.updateMany({ data: { expiresAt: new Date(0) } });
    expect((await panel.post('/api/auth/refresh', { refreshToken: expired.refreshToken })).status).toBe(401);
    const disabled = await login();
    await panel.context.database.prisma.user.update({
      where: { id: disabled.userId },
      data: { disabledAt: new Date() },
    });
    expect((await panel.post('/api/auth/refresh', { refreshToken: disabled.refreshToken })).status).toBe(401);
  });

  test('what is stored of tokens and passwords cannot be used', async () => {
    const { refreshToken } = await login();
    const rows = await panel.context.database.pool.query(
      'SELECT t.*, u."passwordHash" FROM "RefreshToken" t, "User" u',
    );
    const text = JSON.stringify(rows.rows);
    expect(text).not.toContain(refreshToken);
    expect(text).not.toContain('a perfectly good password');
    expect(text).toContain('$argon2id$');
  });
});

describe('POST /api/auth/logout', () => {
  test('is 401 without a token and 400 with a field', async () => {
    expect((await panel.post('/api/auth/logout')).status).toBe(401);
    const user = await panel.createUser();
    expect((await panel.post('/api/auth/logout', { all: true }, user.token)).status).toBe(400);
  });

  test('ends this session at once and no other', async () => {
    const user = await panel.createUser();
    const { email, password } = user;
    const other = await panel.post('/api/auth/login', { email, password });
    const revoked: unknown[] = [];
    panel.context.bus.on('session.revoked', (event) => revoked.push(event));
    const answer = await panel.post('/api/auth/logout', {}, user.token);
    expect(answer).toMatchObject({ status: 200, body: { success: true } });
    expect((await panel.get('/api/auth/me', user.token)).status).toBe(401);
    expect((await panel.get('/api/auth/me', other.body.data.token)).status).toBe(200);
    expect(revoked).toEqual([{ userId: user.id, sessionId: expect.any(String) }]);
    expect((await accountAudit(panel, user.id)).at(-1)).toBe('auth.logout');
  });
});
