import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { codeOf, enableTwoFactor, statusesOf } from '../helpers/accounts.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

/** An address from which nobody has signed in. */
const STRANGE = '198.51.100.7';
const WRONG = 'a wrong password';
const MINUTE_MS = 60_000;
/** What an answer takes that was not held back, on a machine that is busy. */
const PROMPT_MS = 240;

let panel: Panel;
let sibling: Panel;
beforeAll(async () => {
  panel = await startPanel();
  sibling = await startPanel({ database: panel.database });
});
afterAll(async () => {
  await sibling.close();
  await panel.close();
});

interface Timed {
  status: number;
  code: string | undefined;
  retryAfter: string | undefined;
  elapsedMs: number;
}

async function attempt(email: string, password: string, { from = STRANGE, at = panel } = {}): Promise<Timed> {
  const startedAt = performance.now();
  const answer = await at.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    remoteAddress: from,
    payload: { email, password },
  });
  const elapsedMs = performance.now() - startedAt;
  const { code } = answer.json();
  const retryAfter = answer.headers['retry-after']?.toString();
  return { status: answer.statusCode, code, retryAfter, elapsedMs };
}

function setFailures({ id }: TestUser, failedLogins: number, agoMs = 0) {
  const lastFailedLoginAt = new Date(Date.now() - agoMs);
  return panel.context.database.prisma.user.update({
    where: { id },
    data: { failedLogins, lastFailedLoginAt },
  });
}

async function failuresOf({ id }: TestUser): Promise<number> {
  const user = await panel.context.database.prisma.user.findUniqueOrThrow({ where: { id } });
  return user.failedLogins;
}

describe('failed logins', () => {
  test('the first five are answered at once, then an attempt waits, and longer each time', async () => {
    const { email } = await panel.createUser();
    const elapsed: number[] = [];
    for (let count = 0; count < 8; count += 1) {
      const { status, elapsedMs } = await attempt(email, WRONG);
      expect(status).toBe(401);
      elapsed.push(elapsedMs);
    }
    expect(Math.min(...elapsed.slice(0, 5))).toBeLessThan(PROMPT_MS);
    const [sixth = 0, seventh = 0, eighth = 0] = elapsed.slice(5);
    expect(sixth).toBeGreaterThan(245);
    expect(seventh).toBeGreaterThan(495);
    expect(eighth).toBeGreaterThan(995);
  });

  test('with an e-mail that nobody has, the same happens', async () => {
    const email = 'Nobody.At.All@example.com';
    for (let count = 0; count < 5; count += 1) await attempt(count % 2 ? email : email.toLowerCase(), WRONG);
    const slowed = await attempt(email, WRONG);
    expect(slowed).toMatchObject({ status: 401, code: 'auth.invalid_credentials' });
    expect(slowed.elapsedMs).toBeGreaterThan(245);
    expect(slowed.elapsedMs).toBeLessThan(2000);
  });

  test('with an e-mail that nobody has they count on every panel too: waiting does not tell who has an account', async () => {
    const email = `nobody_${Date.now()}@example.com`;
    for (let count = 0; count < 6; count += 1)
      await attempt(email, WRONG, { at: count % 2 ? panel : sibling });
    for (const at of [panel, sibling]) {
      const slowed = await attempt(email, WRONG, { at });
      expect(slowed).toMatchObject({ status: 401, code: 'auth.invalid_credentials' });
      expect(slowed.elapsedMs).toBeGreaterThan(495);
    }
  });

  test('with an e-mail that nobody has those of a quarter of an hour ago do not count', async () => {
    const email = `nobody_${Date.now()}@example.com`;
    for (let count = 0; count < 6; count += 1) await attempt(email, WRONG);
    await panel.context.database.pool.query(
      `UPDATE "AuditLog" SET "createdAt" = "createdAt" - interval '16 minutes' WHERE "userId" IS NULL`,
    );
    expect((await attempt(email, WRONG)).elapsedMs).toBeLessThan(PROMPT_MS);
  });

  test('no attempt waits for more than 4 s', async () => {
    const user = await panel.createUser();
    await setFailures(user, 900);
    const { elapsedMs } = await attempt(user.email, WRONG);
    expect(elapsedMs).toBeGreaterThan(3990);
    expect(elapsedMs).toBeLessThan(6000);
  });

  test('count on every panel, and each of many at once', async () => {
    const user = await panel.createUser();
    await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        attempt(user.email, WRONG, { at: index % 2 ? panel : sibling, from: `198.51.100.${index}` }),
      ),
    );
    expect(await failuresOf(user)).toBe(6);
    expect((await attempt(user.email, WRONG, { at: sibling })).elapsedMs).toBeGreaterThan(495);
  });

  test('the right password waits like a wrong one, gets in, and ends the waiting', async () => {
    const user = await panel.createUser();
    await setFailures(user, 6);
    const slow = await attempt(user.email, user.password);
    expect(slow.status).toBe(200);
    expect(slow.elapsedMs).toBeGreaterThan(495);
    expect(await failuresOf(user)).toBe(0);
  });

  test('those of a quarter of an hour ago do not count, and the next begins anew', async () => {
    const user = await panel.createUser();
    await setFailures(user, 100, 16 * MINUTE_MS);
    expect((await attempt(user.email, WRONG)).elapsedMs).toBeLessThan(3500);
    expect(await failuresOf(user)).toBe(1);
    await setFailures(user, 5, 14 * MINUTE_MS);
    expect((await attempt(user.email, WRONG)).elapsedMs).toBeGreaterThan(245);
    expect(await failuresOf(user)).toBe(6);
  });
});

describe('attempts that wait', () => {
  test.each(['an account', 'an e-mail that nobody has'])(
    'for %s: one from an address, a second is 429; other addresses are not in its way',
    async (kind) => {
      const user = await panel.createUser();
      const email = kind === 'an account' ? user.email : `nobody_${user.email}`;
      for (let count = 0; count < 6; count += 1) await attempt(email, WRONG);
      const answers = await Promise.all([
        attempt(email, WRONG),
        attempt(email, WRONG),
        attempt(email, WRONG, { from: '198.51.100.8' }),
      ]);
      expect(answers.map(({ status }) => status).sort()).toEqual([401, 401, 429]);
      const refused = answers.find(({ status }) => status === 429);
      expect(refused).toMatchObject({ code: 'auth.too_many_attempts', retryAfter: '1' });
    },
  );

  test('whoever has signed in from an address before gets in from there, however many wait', async () => {
    const user = await panel.createUser();
    const home = '203.0.113.20';
    expect((await attempt(user.email, user.password, { from: home })).status).toBe(200);
    await setFailures(user, 6);
    const answers = await Promise.all([
      ...Array.from({ length: 5 }, () => attempt(user.email, WRONG, { from: home })),
      attempt(user.email, user.password, { from: home }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 200]);
  });

  test('are 100 in all: then strangers get 503, and who has been here before still gets in', async () => {
    const [attacked, user] = [await panel.createUser(), await panel.createUser()];
    const home = '203.0.113.21';
    expect((await attempt(user.email, user.password, { from: home })).status).toBe(200);
    await setFailures(attacked, 900);
    await setFailures(user, 5);
    const flood = Array.from({ length: 110 }, (_, index) =>
      attempt(attacked.email, WRONG, { from: `10.0.0.${index}` }),
    );
    await Promise.any(flood.map(async (answer) => expect((await answer).status).toBe(503)));
    const refused = await attempt(user.email, user.password);
    expect(refused).toMatchObject({ status: 503, code: 'auth.busy', retryAfter: '1' });
    expect((await attempt(user.email, user.password, { from: home })).status).toBe(200);
    const answers = await Promise.all(flood);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(100);
    expect((await attempt(user.email, user.password)).status).toBe(200);
  });
});

describe('what is guessed elsewhere', () => {
  test('wrong codes count as wrong passwords do, and the right one waits and gets in', async () => {
    const user = await panel.createUser();
    const { secret } = await enableTwoFactor(panel, user);
    const { ticket } = (await panel.post('/api/auth/login', credentials(user))).body;
    await panel.post('/api/auth/two-factor', { ticket, code: '000000' });
    expect(await failuresOf(user)).toBe(1);
    await setFailures(user, 6);
    const startedAt = performance.now();
    const answer = await panel.post('/api/auth/two-factor', { ticket, code: await codeOf(secret) });
    expect(answer.status).toBe(200);
    expect(performance.now() - startedAt).toBeGreaterThan(495);
    expect(await failuresOf(user)).toBe(0);
  });

  test('the password alone does not clear what wrong codes have counted', async () => {
    const user = await panel.createUser();
    await enableTwoFactor(panel, user);
    await setFailures(user, 4);
    const answer = await panel.post('/api/auth/login', credentials(user));
    expect(answer.body.code).toBe('auth.two_factor_required');
    expect(await failuresOf(user)).toBe(4);
  });

  test.each([
    ['POST', '/api/auth/change-password', { currentPassword: WRONG, newPassword: 'a better password' }],
    ['PATCH', '/api/auth/me', { email: 'other@example.com', currentPassword: WRONG }],
    ['DELETE', '/api/auth/me', { password: WRONG }],
    ['POST', '/api/auth/two-factor/enrol', { password: WRONG }],
  ])('wrong passwords at %s %s count, and are slowed down', async (method, url, body) => {
    const user = await panel.createUser();
    await setFailures(user, 6);
    const startedAt = performance.now();
    const answer = await panel.call(method, url, body, user.token);
    expect(answer).toMatchObject({ status: 400, body: { code: 'auth.wrong_password' } });
    expect(performance.now() - startedAt).toBeGreaterThan(495);
    expect(await failuresOf(user)).toBe(7);
  });

  test('guessing never ends a session that is there', async () => {
    const user = await panel.createUser();
    await setFailures(user, 1000);
    const answers = await Promise.all([
      panel.get('/api/auth/me', user.token),
      panel.get('/api/auth/sessions', user.token),
    ]);
    expect(statusesOf(answers)).toEqual([200, 200]);
  });
});

function credentials({ email, password }: TestUser) {
  return { email, password };
}
