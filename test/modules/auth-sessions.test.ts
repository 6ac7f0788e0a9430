import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accountAudit, createApiKey, expectSessionOnly } from '../helpers/accounts.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

let panel: Panel;
beforeAll(async () => {
  panel = await startPanel();
});
afterAll(() => panel.close());

async function signIn({ email, password }: TestUser, userAgent = 'a browser'): Promise<string> {
  const answer = await panel.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    headers: { 'user-agent': userAgent },
    remoteAddress: '192.0.2.5',
    payload: { email, password },
  });
  return answer.json().data.token as string;
}

async function sessionsOf(token: string): Promise<{ id: string; isCurrent: boolean }[]> {
  return (await panel.get('/api/auth/sessions', token)).body.data;
}

async function statusOf(token: string): Promise<number> {
  return (await panel.get('/api/auth/me', token)).status;
}

test.each([
  ['GET', '/api/auth/sessions'],
  ['DELETE', '/api/auth/sessions'],
  ['DELETE', '/api/auth/sessions/anything'],
])('%s %s is 401 for nobody and 403 for an API key', async (method, url) => {
  await expectSessionOnly(panel, [method, url]);
});

describe('GET /api/auth/sessions', () => {
  test('refuses a page that is none', async () => {
    const user = await panel.createUser();
    for (const query of ['page=0', 'limit=101', 'limit=x']) {
      expect((await panel.get(`/api/auth/sessions?${query}`, user.token)).status).toBe(400);
    }
  });

  test('lists where one is signed in, and which of it is the one that asks', async () => {
    const user = await panel.createUser();
    const token = await signIn(user, 'the browser that asks');
    const answer = await panel.get('/api/auth/sessions?limit=1', token);
    expect(answer.body).toEqual({
      success: true,
      data: [
        {
          id: expect.any(String),
          isCurrent: true,
          ipAddress: '192.0.2.5',
          userAgent: 'the browser that asks',
          createdAt: expect.any(String),
          lastUsedAt: expect.any(String),
          expiresAt: expect.any(String),
        },
      ],
      // Registering signs in too.
      pagination: { page: 1, limit: 1, total: 3, pages: 3 },
    });
    const all = await sessionsOf(token);
    expect(all.filter(({ isCurrent }) => isCurrent)).toHaveLength(1);
  });

  test("shows neither somebody else's nor those that have ended", async () => {
    const user = await panel.createUser();
    await panel.createUser();
    const token = await signIn(user);
    await panel.post('/api/auth/logout', {}, await signIn(user));
    const [expired] = (await sessionsOf(token)).filter(({ isCurrent }) => !isCurrent);
    await panel.context.database.prisma.session.update({
      where: { id: expired?.id ?? '' },
      data: { expiresAt: new Date(0) },
    });
    const rows = await panel.context.database.prisma.session.count({ where: { userId: user.id } });
    expect(rows).toBe(4);
    expect(await sessionsOf(token)).toHaveLength(2);
  });
});

describe('DELETE /api/auth/sessions/:sessionId', () => {
  test("is 404 for somebody else's, for one that has ended and for none", async () => {
    const [user, other] = [await panel.createUser(), await panel.createUser()];
    const [foreign] = await sessionsOf(other.token);
    for (const id of [foreign?.id, 'nothing']) {
      const answer = await panel.delete(`/api/auth/sessions/${id}`, user.token);
      expect(answer).toMatchObject({ status: 404, body: { code: 'auth.session_not_found' } });
    }
    expect(await statusOf(other.token)).toBe(200);
  });

  test('ends the session at once, and a second time is 404', async () => {
    const user = await panel.createUser();
    const token = await signIn(user);
    const own = (await sessionsOf(token)).find(({ isCurrent }) => isCurrent);
    expect((await panel.delete(`/api/auth/sessions/${own?.id}`, user.token)).body).toEqual({ success: true });
    expect(await statusOf(token)).toBe(401);
    expect((await panel.delete(`/api/auth/sessions/${own?.id}`, user.token)).status).toBe(404);
    expect((await accountAudit(panel, user.id)).slice(-2)).toEqual(['auth.login', 'session.revoke']);
  });
});

describe('DELETE /api/auth/sessions', () => {
  test('ends all others and says how many; API keys stay', async () => {
    const user = await panel.createUser();
    const { key } = await createApiKey(panel, user.token);
    const others = [await signIn(user), await signIn(user)];
    const answer = await panel.delete('/api/auth/sessions', user.token);
    // Those two and the one of the registration.
    expect(answer).toMatchObject({ status: 200, body: { success: true, data: { ended: 3 } } });
    for (const token of others) expect(await statusOf(token)).toBe(401);
    expect(await statusOf(user.token)).toBe(200);
    expect(await statusOf(key)).toBe(200);
    expect((await panel.delete('/api/auth/sessions', user.token)).body.data).toEqual({ ended: 0 });
    const actions = await accountAudit(panel, user.id);
    expect(actions.filter((action) => action === 'session.revoke_others')).toHaveLength(1);
  });
});
