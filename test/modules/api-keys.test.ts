import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  accountAudit,
  askInWaves,
  createApiKey,
  expectSessionOnly,
  statusesOf,
} from '../helpers/accounts.js';
import { eventually } from '../helpers/condition.js';
import { insertServer } from '../helpers/console.js';
import { type Panel, startPanel } from '../helpers/panel.js';
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.js';

const URL = '/api/auth/api-keys';
const HOUR_MS = 3_600_000;

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

async function statusOf(key: string, at = panel): Promise<number> {
  return (await at.get('/api/auth/me', key)).status;
}

test.each([
  ['GET', URL],
  ['POST', URL],
  ['DELETE', `${URL}/anything`],
])('%s %s is 401 for nobody and 403 for an API key', async (method, url) => {
  const body = method === 'POST' ? { name: 'a key' } : undefined;
  await expectSessionOnly(panel, [method, url, body]);
});

describe('POST /api/auth/api-keys', () => {
  test.each([
    ['no name', {}, 'body.name'],
    ['an empty name', { name: ' ' }, 'body.name'],
    ['a right that there is not', { name: 'x', permissions: ['server.fly'] }, 'body.permissions'],
    ['a right twice', { name: 'x', permissions: ['server.read', 'server.read'] }, 'body.permissions'],
    ['no rights at all', { name: 'x', permissions: [] }, 'body.permissions'],
    ['an end in the past', { name: 'x', expiresAt: '2020-01-01T00:00:00Z' }, 'body.expiresAt'],
    ['an end that is no time', { name: 'x', expiresAt: 'tomorrow' }, 'body.expiresAt'],
    ['an end beyond all years', { name: 'x', expiresAt: '9999-12-31T23:59:59-12:00' }, 'body.expiresAt'],
    ['an end that is a number', { name: 'x', expiresAt: 4_102_444_800_000 }, 'body.expiresAt'],
    ['a key of his own', { name: 'x', key: 'ctk_mine' }, '"key"'],
  ])('refuses %s', async (_, body, named) => {
    const user = await panel.createUser();
    const answer = await panel.post(URL, body, user.token);
    expect(answer).toMatchObject({ status: 400, body: { code: 'request.invalid' } });
    expect(answer.body.message).toContain(named);
  });

  test('answers the key, which is not stored and shown this once', async () => {
    const user = await panel.createUser();
    const expiresAt = new Date(Date.now() + HOUR_MS).toISOString();
    const answer = await panel.post(
      URL,
      { name: ' deploys ', permissions: ['server.read', 'file.*'], expiresAt },
      user.token,
    );
    expect(answer.status).toBe(201);
    const { key } = answer.body.data;
    expect(answer.body).toEqual({
      success: true,
      data: {
        id: expect.any(String),
        name: 'deploys',
        prefix: key.slice(0, 10),
        key: expect.stringMatching(/^ctk_[A-Za-z0-9_-]{43}$/),
        permissions: ['server.read', 'file.*'],
        createdAt: expect.any(String),
        expiresAt,
      },
    });
    const rows = await panel.context.database.pool.query('SELECT * FROM "ApiKey", "AuditLog"');
    expect(JSON.stringify(rows.rows)).not.toContain(key);
    expect((await panel.get(URL, user.token)).text).not.toContain(key);
    expect((await accountAudit(panel, user.id)).at(-1)).toBe('api_key.create');
  });

  test('an account has 50 at most, also when it asks for many at once', async () => {
    const user = await panel.createUser();
    const answers = await askInWaves(60, (index) =>
      (index % 2 ? panel : sibling).post(URL, { name: `key ${index}` }, user.token),
    );
    expect(statusesOf(answers)).toEqual([
      ...Array.from({ length: 50 }, () => 201),
      ...Array.from({ length: 10 }, () => 409),
    ]);
    const refused = answers.find(({ status }) => status === 409);
    expect(refused?.body.code).toBe('api_key.too_many');
  });
});

describe('GET /api/auth/api-keys', () => {
  test('lists one’s own, newest first, by pages', async () => {
    const [user, other] = [await panel.createUser(), await panel.createUser()];
    await createApiKey(panel, other.token);
    const first = await createApiKey(panel, user.token);
    const second = await createApiKey(panel, user.token, { permissions: ['server.read'] });
    const answer = await panel.get(`${URL}?limit=1`, user.token);
    expect(answer.body).toEqual({
      success: true,
      data: [
        {
          id: second.id,
          name: 'a key',
          prefix: second.prefix,
          permissions: ['server.read'],
          createdAt: expect.any(String),
          expiresAt: null,
          lastUsedAt: null,
          lastUsedIp: null,
        },
      ],
      pagination: { page: 1, limit: 1, total: 2, pages: 2 },
    });
    const next = await panel.get(`${URL}?limit=1&page=2`, user.token);
    expect(next.body.data).toMatchObject([{ id: first.id, permissions: ['*'] }]);
  });
});

describe('DELETE /api/auth/api-keys/:apiKeyId', () => {
  test("is 404 for somebody else's and for none", async () => {
    const [user, other] = [await panel.createUser(), await panel.createUser()];
    const foreign = await createApiKey(panel, other.token);
    for (const id of [foreign.id, 'nothing']) {
      const answer = await panel.delete(`${URL}/${id}`, user.token);
      expect(answer).toMatchObject({ status: 404, body: { code: 'api_key.not_found' } });
    }
    expect(await statusOf(foreign.key)).toBe(200);
  });

  test('the key ends at once here, and within 2 s on another panel', async () => {
    const user = await panel.createUser();
    const { id, key } = await createApiKey(panel, user.token);
    expect([await statusOf(key), await statusOf(key, sibling)]).toEqual([200, 200]);
    expect((await panel.delete(`${URL}/${id}`, user.token)).body).toEqual({ success: true });
    expect(await statusOf(key)).toBe(401);
    await expect.poll(() => statusOf(key, sibling), { timeout: 2000 }).toBe(401);
    expect((await panel.delete(`${URL}/${id}`, user.token)).status).toBe(404);
    expect((await accountAudit(panel, user.id)).at(-1)).toBe('api_key.revoke');
  });
});

describe('signing in with an API key', () => {
  test('is being its owner', async () => {
    const user = await panel.createUser();
    const { key } = await createApiKey(panel, user.token);
    const answer = await panel.get('/api/auth/me', key);
    expect(answer.body.data).toMatchObject({ id: user.id, email: user.email });
  });

  test('what the list leaves out cannot be done with it, whatever its owner may', async () => {
    const administrator = await panel.createAdministrator();
    const reading = await createApiKey(panel, administrator.token, {
      permissions: ['admin.read', 'server.read'],
    });
    const refused = await panel.post('/api/locations', { name: 'by key' }, reading.key);
    expect(refused).toMatchObject({ status: 403, body: { code: 'permission.denied' } });
    const writing = await createApiKey(panel, administrator.token, { permissions: ['admin.*'] });
    const allowed = await panel.post('/api/locations', { name: 'by key' }, writing.key);
    expect(allowed.status).toBe(201);
    const row = await panel.context.database.prisma.auditLog.findFirst({
      where: { resourceId: allowed.body.data.id },
    });
    expect(row).toMatchObject({ userId: administrator.id, apiKeyId: writing.id });
  });

  test('the list gives nothing that its owner does not have', async () => {
    const user = await panel.createUser();
    const { key } = await createApiKey(panel, user.token, { permissions: ['admin.write', 'server.create'] });
    expect((await panel.post('/api/locations', { name: 'not mine' }, key)).status).toBe(403);
  });

  test('rights on one server are narrowed too', async () => {
    const user = await panel.createUser();
    const { id } = await insertServer(panel.context.database, { ownerId: user.id, status: 'stopped' });
    const reading = await createApiKey(panel, user.token, { permissions: ['server.read'] });
    const other = await createApiKey(panel, user.token, { permissions: ['file.*'] });
    expect((await panel.get(`/api/servers/${id}`, reading.key)).status).toBe(200);
    expect((await panel.post(`/api/servers/${id}/start`, {}, reading.key)).status).toBe(403);
    expect((await panel.get(`/api/servers/${id}`, other.key)).status).toBe(404);
  });

  test('ends when it expires', async () => {
    const user = await panel.createUser();
    const expiresAt = new Date(Date.now() + 700).toISOString();
    const { key } = await createApiKey(panel, user.token, { expiresAt });
    expect(await statusOf(key)).toBe(200);
    await expect.poll(() => statusOf(key), { timeout: 3000 }).toBe(401);
  });

  test('ends with a disabled account, and works again when it is enabled', async () => {
    const user = await panel.createUser();
    const { key } = await createApiKey(panel, user.token);
    const disable = (disabledAt: Date | null) =>
      panel.context.database.prisma.user.update({ where: { id: user.id }, data: { disabledAt } });
    await disable(new Date());
    await expect.poll(() => statusOf(key), { timeout: 2000 }).toBe(401);
    await disable(null);
    await expect.poll(() => statusOf(key), { timeout: 2000 }).toBe(200);
  });

  test('made-up keys are refused without asking the database', async () => {
    let proxy: TcpProxy | undefined;
    const cutOff = await startPanel({
      database: panel.database,
      reachDatabase: async (url) => {
        const direct = new globalThis.URL(url);
        proxy = await startTcpProxy({ host: direct.hostname, port: Number(direct.port) });
        return Object.assign(direct, { hostname: '127.0.0.1', port: String(proxy.port) }).href;
      },
    });
    const user = await panel.createUser();
    const { key } = await createApiKey(panel, user.token);
    await proxy?.cut();
    const cut = key.slice(0, -1);
    const changed = `${key.slice(0, 20)}${key.at(20) === 'A' ? 'B' : 'A'}${key.slice(21)}`;
    for (const made of [cut, changed, `ctk_${'A'.repeat(43)}`, 'ctk_', `${key}A`, `ctk_${'é'.repeat(43)}`]) {
      expect([made, await statusOf(made, cutOff)]).toEqual([made, 401]);
    }
    expect(await statusOf(key, cutOff)).toBe(503);
    await proxy?.restore();
    expect(await statusOf(key, cutOff)).toBe(200);
    await cutOff.close();
    await proxy?.close();
  });

  test('is noted on the key, once a minute at most', async () => {
    const user = await panel.createUser();
    const { id, key } = await createApiKey(panel, user.token);
    const use = (remoteAddress: string, at = panel) =>
      at.app.inject({ url: '/api/auth/me', headers: { authorization: `Bearer ${key}` }, remoteAddress });
    await use('192.0.2.1');
    const row = () => panel.context.database.prisma.apiKey.findUniqueOrThrow({ where: { id } });
    const used = await eventually('the use of the key', async () => {
      const { lastUsedAt, lastUsedIp } = await row();
      return lastUsedAt && { lastUsedAt, lastUsedIp };
    });
    expect(used.lastUsedIp).toBe('192.0.2.1');
    await use('192.0.2.2');
    await use('192.0.2.3', sibling);
    await panel.context.auth.close();
    await sibling.context.auth.close();
    expect(await row()).toMatchObject(used);
    expect((await panel.get(URL, user.token)).body.data[0]).toMatchObject({
      lastUsedAt: used.lastUsedAt.toISOString(),
      lastUsedIp: '192.0.2.1',
    });
  });

  test('works while its use cannot be stored', async () => {
    const user = await panel.createUser();
    const { key } = await createApiKey(panel, user.token);
    const { pool } = panel.context.database;
    await pool.query('ALTER TABLE "ApiKey" RENAME COLUMN "lastUsedIp" TO "away"');
    try {
      expect(await statusOf(key)).toBe(200);
      await panel.context.auth.close();
    } finally {
      await pool.query('ALTER TABLE "ApiKey" RENAME COLUMN "away" TO "lastUsedIp"');
    }
  });
});
