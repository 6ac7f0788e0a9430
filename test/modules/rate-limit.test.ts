import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

const LIMIT = 5;
const AUTHENTICATION_LIMIT = 3;
const HEALTH_LIMIT = 8;

let panel: Panel;
let user: TestUser;
beforeEach(async () => {
  panel = await startPanel({
    settings: {
      RATE_LIMIT_PER_MINUTE: String(LIMIT),
      AUTH_RATE_LIMIT_PER_MINUTE: String(AUTHENTICATION_LIMIT),
      HEALTH_RATE_LIMIT_PER_MINUTE: String(HEALTH_LIMIT),
      TRUST_PROXY: 'true',
    },
  });
  user = await panel.createUser();
});
afterEach(async () => {
  vi.useRealTimers();
  await panel.close();
});

const ME = '/api/auth/me';

function ask(url: string, { from = '192.0.2.1', token }: { from?: string; token?: string } = {}) {
  return panel.app.inject({
    url,
    headers: { 'x-forwarded-for': from, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
  });
}

function login(from: string) {
  return panel.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    headers: { 'x-forwarded-for': from },
    payload: { email: 'nobody@example.com', password: 'wrong' },
  });
}

async function statuses(times: number, request: () => Promise<{ statusCode: number }>): Promise<number[]> {
  const found: number[] = [];
  for (let index = 0; index < times; index += 1) found.push((await request()).statusCode);
  return found;
}

const of = (status: number, times: number) => Array.from({ length: times }, () => status);

describe('a signed-in user', () => {
  test('is told how much is left, and when it starts anew', async () => {
    for (let remaining = LIMIT - 1; remaining >= 0; remaining -= 1) {
      const answer = await ask(ME, { token: user.token });
      expect(answer.statusCode).toBe(200);
      expect(answer.headers).toMatchObject({
        'x-ratelimit-limit': String(LIMIT),
        'x-ratelimit-remaining': String(remaining),
      });
      const inSeconds = Number(answer.headers['x-ratelimit-reset']) - Date.now() / 1000;
      expect(inSeconds).toBeGreaterThan(50);
      expect(inSeconds).toBeLessThan(62);
      expect(answer.headers['retry-after']).toBeUndefined();
    }
  });

  test('is refused over the limit with 429 in the form of all errors, until the minute is over', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    await statuses(LIMIT, () => ask(ME, { token: user.token }));
    const answer = await ask(ME, { token: user.token });
    expect(answer.statusCode).toBe(429);
    expect(answer.json()).toEqual({
      statusCode: 429,
      error: 'Too Many Requests',
      message: 'Rate limit exceeded. Try again in 60 seconds.',
      code: 'rate_limit.exceeded',
      requestId: answer.headers['x-request-id'],
    });
    expect(answer.headers).toMatchObject({
      'retry-after': '60',
      'x-ratelimit-limit': String(LIMIT),
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': String(Math.ceil(Date.now() / 1000 + 60)),
    });
    vi.setSystemTime(Date.now() + 45_000);
    const later = await ask(ME, { token: user.token });
    expect([later.statusCode, later.headers['retry-after']]).toEqual([429, '15']);
    vi.setSystemTime(Date.now() + 15_000);
    expect((await ask(ME, { token: user.token })).statusCode).toBe(200);
  });

  test('is counted as one wherever he comes from and whatever he signed in with, and nobody else with him', async () => {
    const { token } = user;
    const created = await panel.post('/api/auth/api-keys', { name: 'key', permissions: ['*'] }, token);
    const key = String(created.body.data.key ?? created.body.data.token);
    await ask(ME, { from: '192.0.2.1', token });
    await ask(ME, { from: '192.0.2.2', token });
    await ask(ME, { from: '192.0.2.3', token: key });
    const last = await ask(ME, { from: '192.0.2.4', token: key });
    expect(last.headers['x-ratelimit-remaining']).toBe('0');
    expect((await ask(ME, { from: '192.0.2.5', token })).statusCode).toBe(429);
    const other = await panel.createUser();
    expect((await ask(ME, { from: '192.0.2.1', token: other.token })).statusCode).toBe(200);
    expect((await ask('/api/nothing', { from: '192.0.2.1' })).statusCode).toBe(404);
  });

  test('is counted on routes for everybody too, and where there is no route', async () => {
    await ask('/api/nothing', { token: user.token });
    await ask('/docs/json', { token: user.token });
    const answer = await ask(ME, { token: user.token });
    expect(answer.headers['x-ratelimit-remaining']).toBe(String(LIMIT - 3));
  });

  test('with the right to it is not limited, as long as he has it', async () => {
    const exempt = await panel.createUser(['rate-limit.bypass']);
    const administrator = await panel.createAdministrator();
    for (const { token } of [exempt, administrator]) {
      expect(await statuses(LIMIT * 3, () => ask(ME, { token }))).toEqual(of(200, LIMIT * 3));
      expect((await ask(ME, { token })).headers['x-ratelimit-limit']).toBeUndefined();
    }
    await panel.context.database.prisma.userRole.deleteMany({ where: { userId: exempt.id } });
    panel.context.bus.emit('access.changed', { userId: exempt.id });
    expect(await statuses(LIMIT + 1, () => ask(ME, { token: exempt.token }))).toEqual([
      ...of(200, LIMIT),
      429,
    ]);
  });
});

describe('an address', () => {
  test('is counted when nobody is signed in, also with a token that is none', async () => {
    const from = '192.0.2.10';
    await ask(ME, { from });
    await ask('/api/nothing', { from });
    await ask('/docs', { from });
    await ask(ME, { from, token: 'nonsense' });
    await ask('/api/deploy/nonsense', { from, token: 'ctk_nonsense' });
    expect((await ask(ME, { from, token: 'nonsense' })).statusCode).toBe(429);
    expect((await ask(ME, { from: '192.0.2.11' })).statusCode).toBe(401);
    // Whoever is signed in behind it is not to suffer.
    expect((await ask(ME, { from, token: user.token })).statusCode).toBe(200);
  });

  test('is counted with the network of a customer when it is IPv6', async () => {
    const addresses = [
      '2001:db8:1:1::1',
      '2001:db8:1:1::2',
      '2001:db8:1:1:ffff::',
      '2001:db8:1:1:a::b',
      '2001:db8:1:1::3',
    ];
    for (const from of addresses) expect((await ask(ME, { from })).statusCode).toBe(401);
    expect((await ask(ME, { from: '2001:db8:1:1::99' })).statusCode).toBe(429);
    expect((await ask(ME, { from: '2001:db8:1:2::1' })).statusCode).toBe(401);
  });

  test('has budgets of their own for signing in and for health checks', async () => {
    const from = '192.0.2.20';
    expect(await statuses(AUTHENTICATION_LIMIT + 1, () => login(from))).toEqual([
      ...of(401, AUTHENTICATION_LIMIT),
      429,
    ]);
    expect(await statuses(HEALTH_LIMIT + 1, () => ask('/health', { from }))).toEqual([
      ...of(200, HEALTH_LIMIT),
      429,
    ]);
    expect((await ask('/ready', { from })).statusCode).toBe(429);
    expect(await statuses(LIMIT + 1, () => ask(ME, { from }))).toEqual([...of(401, LIMIT), 429]);
    expect((await login('192.0.2.21')).statusCode).toBe(401);
  });

  test('that signs in is counted whatever token it sends along', async () => {
    const administrator = await panel.createAdministrator();
    const attempt = () =>
      panel.app.inject({
        method: 'POST',
        url: '/api/auth/login',
        headers: { authorization: `Bearer ${administrator.token}` },
        payload: { email: 'nobody@example.com', password: 'wrong' },
      });
    expect(await statuses(AUTHENTICATION_LIMIT + 1, attempt)).toEqual([
      ...of(401, AUTHENTICATION_LIMIT),
      429,
    ]);
  });

  test.each(['register', 'login', 'refresh', 'two-factor'])(
    'spends its budget for signing in at POST /api/auth/%s',
    async (route) => {
      const answer = await panel.post(`/api/auth/${route}`, {});
      expect(answer.headers['x-ratelimit-limit']).toBe(String(AUTHENTICATION_LIMIT));
    },
  );
});

test('without limits nothing is counted', async () => {
  const unlimited = await startPanel();
  try {
    const { headers } = await unlimited.get(ME);
    expect(headers['x-ratelimit-limit']).toBeUndefined();
  } finally {
    await unlimited.close();
  }
});
