import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  accountAudit,
  codeOf,
  createApiKey,
  enableTwoFactor,
  expectSessionOnly,
  statusesOf,
} from '../helpers/accounts.js';
import { type Answer, type Panel, startPanel, type TestUser } from '../helpers/panel.js';

const URL = '/api/auth/two-factor';
/** Of six digits, and hardly the right one. */
const WRONG = '000000';

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

const signIn = ({ email, password }: TestUser, at = panel) => at.post('/api/auth/login', { email, password });

async function ticketOf(user: TestUser): Promise<string> {
  return (await signIn(user)).body.ticket;
}

const secondStep = (body: object, at = panel): Promise<Answer> => at.post(URL, body);

/** Several codes in one test are those of steps that lie apart: each is good only once. */
async function forgetLastCode({ id }: TestUser): Promise<void> {
  await panel.context.database.prisma.twoFactor.update({
    where: { userId: id },
    data: { lastTimeStep: null },
  });
}

test.each([
  ['GET', URL, undefined],
  ['POST', `${URL}/enrol`, { password: 'x' }],
  ['POST', `${URL}/confirm`, { code: '123456' }],
  ['POST', `${URL}/disable`, { password: 'x', code: '123456' }],
  ['POST', `${URL}/recovery-codes`, { password: 'x', code: '123456' }],
])('%s %s is 401 for nobody and 403 for an API key', async (method, url, body) => {
  await expectSessionOnly(panel, [method, url, body]);
});

describe('enrolling and confirming', () => {
  test('takes the password, and a code only of what was enrolled', async () => {
    const user = await panel.createUser();
    expect((await panel.post(`${URL}/enrol`, {}, user.token)).status).toBe(400);
    const wrong = await panel.post(`${URL}/enrol`, { password: 'wrong' }, user.token);
    expect(wrong).toMatchObject({ status: 400, body: { code: 'auth.wrong_password' } });
    const early = await panel.post(`${URL}/confirm`, { code: WRONG }, user.token);
    expect(early).toMatchObject({ status: 409, body: { code: 'auth.two_factor_disabled' } });
    for (const code of ['12345', '1234567', 'abcdef', 123456]) {
      expect((await panel.post(`${URL}/confirm`, { code }, user.token)).status).toBe(400);
    }
  });

  test('answers a secret for an app, then recovery codes, each shown once', async () => {
    const user = await panel.createUser();
    expect((await panel.get(URL, user.token)).body).toEqual({
      success: true,
      data: { status: 'disabled', enabledAt: null, recoveryCodesLeft: 0 },
    });
    const enrolment = await panel.post(`${URL}/enrol`, { password: user.password }, user.token);
    const { secret, uri } = enrolment.body.data;
    expect(enrolment.body).toEqual({ success: true, data: { secret, uri } });
    expect(secret).toMatch(/^[A-Z2-7]{32}$/);
    const address = new globalThis.URL(uri);
    expect([
      address.protocol,
      address.searchParams.get('secret'),
      address.searchParams.get('issuer'),
    ]).toEqual(['otpauth:', secret, 'Catalyst']);
    expect(decodeURIComponent(address.pathname)).toContain(user.email);
    expect((await panel.get(URL, user.token)).body.data.status).toBe('pending');
    expect((await signIn(user)).status).toBe(200);

    const wrong = await panel.post(`${URL}/confirm`, { code: WRONG }, user.token);
    expect(wrong).toMatchObject({ status: 401, body: { code: 'auth.two_factor_invalid' } });
    const code = await codeOf(secret);
    const spaced = `${code.slice(0, 3)} ${code.slice(3)}`;
    const confirmation = await panel.post(`${URL}/confirm`, { code: spaced }, user.token);
    expect(confirmation.status).toBe(200);
    const { recoveryCodes } = confirmation.body.data;
    expect(new Set(recoveryCodes).size).toBe(10);
    for (const recoveryCode of recoveryCodes) expect(recoveryCode).toMatch(/^([a-z2-7]{4}-){3}[a-z2-7]{4}$/);
    expect((await panel.get(URL, user.token)).body.data).toEqual({
      status: 'enabled',
      enabledAt: expect.any(String),
      recoveryCodesLeft: 10,
    });
    const { rows } = await panel.context.database.pool.query(
      'SELECT * FROM "TwoFactor", "RecoveryCode", "AuditLog"',
    );
    const stored = JSON.stringify(rows);
    for (const planted of [secret, ...recoveryCodes]) {
      expect(stored).not.toContain(planted);
      expect(stored).not.toContain(String(planted).replaceAll('-', ''));
    }
    const actions = await accountAudit(panel, user.id);
    expect(actions.slice(-3)).toEqual(['two_factor.enrol', 'auth.login', 'two_factor.confirm']);
  });

  test('enrolling again before the confirmation replaces the secret; afterwards it is 409', async () => {
    const user = await panel.createUser();
    const enrol = () => panel.post(`${URL}/enrol`, { password: user.password }, user.token);
    const first = (await enrol()).body.data.secret;
    const second = (await enrol()).body.data.secret;
    const confirm = async (secret: string) =>
      panel.post(`${URL}/confirm`, { code: await codeOf(secret) }, user.token);
    expect((await confirm(first)).status).toBe(401);
    expect((await confirm(second)).status).toBe(200);
    expect(await enrol()).toMatchObject({ status: 409, body: { code: 'auth.two_factor_enabled' } });
    expect(await confirm(second)).toMatchObject({ status: 409, body: { code: 'auth.two_factor_enabled' } });
  });

  test('of 10 confirmations at once one is answered recovery codes', async () => {
    const user = await panel.createUser();
    const { body } = await panel.post(`${URL}/enrol`, { password: user.password }, user.token);
    const code = await codeOf(body.data.secret);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        (index % 2 ? panel : sibling).post(`${URL}/confirm`, { code }, user.token),
      ),
    );
    expect(statusesOf(answers)).toEqual([200, ...Array.from({ length: 9 }, () => 409)]);
  });
});

describe('signing in with a second factor', () => {
  test('the password is answered 401 with a ticket, and nothing that opens anything', async () => {
    const user = await panel.createUser();
    await enableTwoFactor(panel, user);
    const answer = await signIn(user);
    expect(answer.status).toBe(401);
    expect(answer.body).toEqual({
      statusCode: 401,
      error: 'Unauthorized',
      message: expect.stringContaining('/api/auth/two-factor'),
      code: 'auth.two_factor_required',
      requestId: expect.any(String),
      ticket: expect.stringMatching(/^ctt_/),
      expiresIn: 300,
    });
    expect((await panel.get('/api/auth/me', answer.body.ticket)).status).toBe(401);
    const refreshed = await panel.post('/api/auth/refresh', { refreshToken: answer.body.ticket });
    expect(refreshed.status).toBe(401);
    expect((await accountAudit(panel, user.id)).at(-1)).toBe('auth.two_factor_required');
  });

  test.each([
    ['no code', { ticket: 'x' }],
    ['both kinds of code', { ticket: 'x', code: '123456', recoveryCode: 'abc' }],
    ['no ticket', { code: '123456' }],
    ['a code that is a number', { ticket: 'x', code: 123456 }],
    ['an unknown field', { ticket: 'x', code: '123456', email: 'user@example.com' }],
  ])('the second step refuses %s with 400', async (_, body) => {
    expect(await secondStep(body)).toMatchObject({ status: 400, body: { code: 'request.invalid' } });
  });

  test('ticket and code are answered as a login is; the ticket is gone then', async () => {
    const user = await panel.createUser();
    const { secret } = await enableTwoFactor(panel, user);
    const ticket = await ticketOf(user);
    const code = await codeOf(secret);
    const answer = await secondStep({ ticket, code });
    expect(answer.status).toBe(200);
    expect(answer.body.data).toEqual({
      userId: user.id,
      email: user.email,
      username: user.username,
      token: expect.any(String),
      refreshToken: expect.stringMatching(/^ctr_/),
      expiresIn: 86_400,
    });
    expect((await panel.get('/api/auth/me', answer.body.data.token)).status).toBe(200);
    await forgetLastCode(user);
    const again = await secondStep({ ticket, code: await codeOf(secret) });
    expect(again).toMatchObject({ status: 401, body: { code: 'auth.two_factor_invalid' } });
    expect(await accountAudit(panel, user.id)).toContain('auth.login');
  });

  test('the code that confirmed the app, an old one and one of another account do not sign in', async () => {
    const [user, other] = [await panel.createUser(), await panel.createUser()];
    const { secret, code: confirming } = await enableTwoFactor(panel, user);
    const foreign = await enableTwoFactor(panel, other);
    const ticket = await ticketOf(user);
    const codes = [confirming, await codeOf(secret, -4), await codeOf(foreign.secret)];
    for (const code of codes) expect((await secondStep({ ticket, code })).status).toBe(401);
    const recovery = await secondStep({ ticket, recoveryCode: foreign.recoveryCodes[0] });
    expect(recovery.status).toBe(401);
    expect((await secondStep({ ticket, code: await codeOf(secret) })).status).toBe(200);
  });

  test('a code works once, for whichever ticket', async () => {
    const user = await panel.createUser();
    const { secret } = await enableTwoFactor(panel, user);
    const [first, second] = [await ticketOf(user), await ticketOf(user)];
    const code = await codeOf(secret);
    expect((await secondStep({ ticket: first, code })).status).toBe(200);
    expect((await secondStep({ ticket: second, code })).status).toBe(401);
  });

  test('of 10 requests at once with one code exactly one gets in, on two panels too', async () => {
    const user = await panel.createUser();
    const { secret } = await enableTwoFactor(panel, user);
    const tickets = [];
    for (let count = 0; count < 10; count += 1) tickets.push(await ticketOf(user));
    const code = await codeOf(secret);
    const answers = await Promise.all(
      tickets.map((ticket, index) => secondStep({ ticket, code }, index % 2 ? panel : sibling)),
    );
    expect(statusesOf(answers)).toEqual([200, ...Array.from({ length: 9 }, () => 401)]);
  });

  test('of 5 requests at once with one ticket and one recovery code each exactly one gets in', async () => {
    const user = await panel.createUser();
    const { recoveryCodes } = await enableTwoFactor(panel, user);
    const ticket = await ticketOf(user);
    const answers = await Promise.all(
      recoveryCodes.slice(0, 5).map((recoveryCode) => secondStep({ ticket, recoveryCode })),
    );
    expect(statusesOf(answers)).toEqual([200, 401, 401, 401, 401]);
    // What was refused with the ticket was not used up.
    expect((await panel.get(URL, user.token)).body.data.recoveryCodesLeft).toBe(9);
  });

  test('a recovery code works once, however it is typed', async () => {
    const user = await panel.createUser();
    const { recoveryCodes } = await enableTwoFactor(panel, user);
    const recoveryCode = ` ${recoveryCodes[0]?.toUpperCase().replaceAll('-', ' ')} `;
    expect((await secondStep({ ticket: await ticketOf(user), recoveryCode })).status).toBe(200);
    const again = await secondStep({ ticket: await ticketOf(user), recoveryCode: recoveryCodes[0] });
    expect(again).toMatchObject({ status: 401, body: { code: 'auth.two_factor_invalid' } });
    expect((await panel.get(URL, user.token)).body.data.recoveryCodesLeft).toBe(9);
  });

  test('a ticket is good for 5 tries, also at once, and a new one starts anew', async () => {
    const user = await panel.createUser();
    const { secret } = await enableTwoFactor(panel, user);
    const ticket = await ticketOf(user);
    const wrong = await Promise.all(Array.from({ length: 5 }, () => secondStep({ ticket, code: WRONG })));
    expect(statusesOf(wrong)).toEqual([401, 401, 401, 401, 401]);
    const code = await codeOf(secret);
    expect((await secondStep({ ticket, code })).status).toBe(401);
    expect((await secondStep({ ticket: await ticketOf(user), code })).status).toBe(200);
    const { prisma } = panel.context.database;
    const { failedLogins } = await prisma.user.findUniqueOrThrow({ where: { id: user.id } });
    expect(failedLogins).toBe(0);
    const actions = await accountAudit(panel, user.id);
    expect(actions.filter((action) => action === 'auth.two_factor_failed')).toHaveLength(5);
  });

  test('a ticket that has expired or was never one, and a disabled account, are 401', async () => {
    const user = await panel.createUser();
    const { secret, recoveryCodes } = await enableTwoFactor(panel, user);
    const { prisma } = panel.context.database;
    const expired = await ticketOf(user);
    await prisma.twoFactorTicket.updateMany({
      where: { userId: user.id },
      data: { expiresAt: new Date(0) },
    });
    const code = await codeOf(secret);
    for (const ticket of [expired, 'ctt_nothing', user.token]) {
      const answer = await secondStep({ ticket, code });
      expect(answer).toMatchObject({ status: 401, body: { code: 'auth.two_factor_invalid' } });
    }
    const ticket = await ticketOf(user);
    await prisma.user.update({ where: { id: user.id }, data: { disabledAt: new Date() } });
    for (const given of [{ code }, { recoveryCode: recoveryCodes[0] }]) {
      expect((await secondStep({ ticket, ...given })).status).toBe(401);
    }
  });

  test('an account keeps 20 pending logins, the newest', async () => {
    const user = await panel.createUser();
    const { recoveryCodes } = await enableTwoFactor(panel, user);
    const tickets = [];
    for (let count = 0; count < 21; count += 1) tickets.push(await ticketOf(user));
    const { prisma } = panel.context.database;
    expect(await prisma.twoFactorTicket.count({ where: { userId: user.id } })).toBe(20);
    expect((await secondStep({ ticket: tickets[0], recoveryCode: recoveryCodes[0] })).status).toBe(401);
    expect((await secondStep({ ticket: tickets[20], recoveryCode: recoveryCodes[0] })).status).toBe(200);
  });

  test('an API key needs no second factor', async () => {
    const user = await panel.createUser();
    const { key } = await createApiKey(panel, user.token);
    await enableTwoFactor(panel, user);
    expect((await panel.get('/api/auth/me', key)).status).toBe(200);
  });
});

describe('turning it off, and new recovery codes', () => {
  test('both are 409 while it is off', async () => {
    const user = await panel.createUser();
    const body = { password: user.password, code: WRONG };
    for (const path of ['disable', 'recovery-codes']) {
      const answer = await panel.post(`${URL}/${path}`, body, user.token);
      expect(answer).toMatchObject({ status: 409, body: { code: 'auth.two_factor_disabled' } });
    }
  });

  test('both take the password and a code, and wrong ones count as failed logins', async () => {
    const user = await panel.createUser();
    const { secret } = await enableTwoFactor(panel, user);
    for (const path of ['disable', 'recovery-codes']) {
      const url = `${URL}/${path}`;
      expect((await panel.post(url, { password: user.password }, user.token)).status).toBe(400);
      const badPassword = await panel.post(
        url,
        { password: 'wrong', code: await codeOf(secret) },
        user.token,
      );
      expect(badPassword).toMatchObject({ status: 400, body: { code: 'auth.wrong_password' } });
      const badCode = await panel.post(url, { password: user.password, code: WRONG }, user.token);
      expect(badCode).toMatchObject({ status: 401, body: { code: 'auth.two_factor_invalid' } });
    }
    const { prisma } = panel.context.database;
    const { failedLogins } = await prisma.user.findUniqueOrThrow({ where: { id: user.id } });
    expect(failedLogins).toBe(4);
    expect((await panel.get(URL, user.token)).body.data.status).toBe('enabled');
  });

  test('new recovery codes end the old ones', async () => {
    const user = await panel.createUser();
    const { secret, recoveryCodes } = await enableTwoFactor(panel, user);
    const answer = await panel.post(
      `${URL}/recovery-codes`,
      { password: user.password, code: await codeOf(secret) },
      user.token,
    );
    const renewed: string[] = answer.body.data.recoveryCodes;
    expect(renewed).toHaveLength(10);
    const ticket = await ticketOf(user);
    expect((await secondStep({ ticket, recoveryCode: recoveryCodes[0] })).status).toBe(401);
    expect((await secondStep({ ticket, recoveryCode: renewed[0] })).status).toBe(200);
    expect(await accountAudit(panel, user.id)).toContain('two_factor.renew_recovery_codes');
  });

  test.each(['code', 'recoveryCode'])(
    'it is off again with a %s, and pending logins are gone',
    async (kind) => {
      const user = await panel.createUser();
      const { secret, recoveryCodes } = await enableTwoFactor(panel, user);
      const ticket = await ticketOf(user);
      const given = kind === 'code' ? await codeOf(secret) : recoveryCodes[0];
      const answer = await panel.post(
        `${URL}/disable`,
        { password: user.password, [kind]: given },
        user.token,
      );
      expect(answer.body).toEqual({ success: true });
      expect((await panel.get(URL, user.token)).body.data).toEqual({
        status: 'disabled',
        enabledAt: null,
        recoveryCodesLeft: 0,
      });
      expect((await secondStep({ ticket, recoveryCode: recoveryCodes[1] })).status).toBe(401);
      expect((await signIn(user)).status).toBe(200);
      expect(await accountAudit(panel, user.id)).toContain('two_factor.disable');
    },
  );
});
