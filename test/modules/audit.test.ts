import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordAudit } from '../../src/lib/audit.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

const LOGS = '/api/admin/audit-logs';

let panel: Panel;
let administrator: TestUser;
let reader: TestUser;
beforeAll(async () => {
  panel = await startPanel();
  administrator = await panel.createAdministrator();
  reader = await panel.createUser(['admin.read']);
});
afterAll(() => panel.close());

interface Written {
  action: `${string}.${string}`;
  user?: TestUser;
  serverId?: string;
  resourceId?: string;
  at?: string;
}

/** As if somebody had done this, at that time. */
async function write({ action, user, serverId, resourceId = 'thing', at }: Written): Promise<string> {
  const { pool } = panel.context.database;
  await recordAudit(
    { query: (text: string, values: unknown[]) => pool.query(text, values) },
    {
      kind: 'subject',
      userId: user?.id ?? null,
      username: user?.username ?? null,
      origin: { ipAddress: '192.0.2.7', userAgent: 'a browser' },
    },
    {
      action,
      resourceType: 'thing',
      resourceId,
      ...(serverId !== undefined && { serverId }),
      metadata: { n: [1, { deep: true }] },
    },
  );
  const { rows } = await pool.query(
    `UPDATE "AuditLog" SET "createdAt" = coalesce($1::timestamptz, "createdAt")
     WHERE "id" = (SELECT max("id") FROM "AuditLog") RETURNING "id"::text`,
    [at ?? null],
  );
  return rows[0].id;
}

const ids = (answer: { body: { data: { id: string }[] } }) => answer.body.data.map(({ id }) => id);

describe('the audit log', () => {
  test('is 401 without a token, 403 without admin.read, 400 for what is not a query', async () => {
    expect((await panel.get(LOGS)).status).toBe(401);
    const member = await panel.createUser(['activity.read']);
    expect((await panel.get(LOGS, member.token)).body.code).toBe('permission.denied');
    for (const [query, named] of [
      ['limit=1001', 'query.limit'],
      ['limit=0', 'query.limit'],
      ['before=yesterday', 'query.before'],
      ['from=2026-01-01', 'query.from'],
      ['action=%25', 'query.action'],
      ['page=1', '"page"'],
    ]) {
      const answer = await panel.get(`${LOGS}?${query}`, reader.token);
      expect([query, answer.status, answer.body.code]).toEqual([query, 400, 'request.invalid']);
      expect(answer.body.message).toContain(named);
    }
  });

  test('answers what the documented example has, field by field, and who did it with which key from where', async () => {
    const id = await write({ action: 'thing.first', user: reader, at: '2026-01-25T02:29:17.414159Z' });
    const answer = await panel.get(`${LOGS}?action=thing.first`, reader.token);
    expect(answer.body).toEqual({
      success: true,
      data: [
        {
          id,
          userId: reader.id,
          username: reader.username,
          apiKeyId: null,
          action: 'thing.first',
          resourceType: 'thing',
          resourceId: 'thing',
          serverId: null,
          metadata: { n: [1, { deep: true }] },
          ipAddress: '192.0.2.7',
          userAgent: 'a browser',
          createdAt: '2026-01-25T02:29:17.414159Z',
        },
      ],
      pagination: { limit: 100, nextBefore: null },
    });
  });

  test('knows what nobody did who was signed in, and what was done with an API key', async () => {
    await write({ action: 'thing.anonymous' });
    const anonymous = await panel.get(`${LOGS}?action=thing.anonymous`, reader.token);
    expect(anonymous.body.data).toMatchObject([{ userId: null, username: null }]);
    const key = await panel.post(
      '/api/auth/api-keys',
      { name: 'k', permissions: ['*'] },
      administrator.token,
    );
    const { data } = key.body;
    await panel.post('/api/admin/roles', { name: 'by key', permissions: [] }, data.key ?? data.token);
    const byKey = await panel.get(`${LOGS}?action=role.create&userId=${administrator.id}`, reader.token);
    expect(byKey.body.data).toMatchObject([{ apiKeyId: data.id, username: administrator.username }]);
  });

  test('is filtered by user, action, beginning of an action, resource, server and time', async () => {
    const user = await panel.createUser();
    const first = await write({ action: 'filter.one', user, resourceId: 'a', at: '2026-02-01T00:00:00Z' });
    const second = await write({ action: 'filter.two', user, resourceId: 'b', at: '2026-02-02T00:00:00Z' });
    const third = await write({ action: 'filterx.two', serverId: 'srv', at: '2026-02-03T00:00:00Z' });
    const found = async (query: string) => ids(await panel.get(`${LOGS}?${query}`, reader.token));
    expect(await found(`userId=${user.id}&resourceType=thing`)).toEqual([second, first]);
    expect(await found('action=filter.one')).toEqual([first]);
    expect(await found('action=filter.*')).toEqual([second, first]);
    expect(await found('action=f.*')).toEqual([]);
    expect(await found('action=____ter.*')).toEqual([]);
    expect(await found('resourceType=thing&resourceId=b')).toEqual([second]);
    expect(await found('serverId=srv')).toEqual([third]);
    expect(await found('from=2026-02-01T00:00:00Z&to=2026-02-03T00:00:00Z')).toEqual([second, first]);
    expect(await found('from=2026-02-02T01:00:00%2B01:00&to=2026-02-04T00:00:00Z')).toEqual([third, second]);
    expect(await found('to=0000-01-01T00:00:00Z')).toEqual([]);
    expect(await found('from=9999-01-01T00:00:00Z')).toEqual([]);
  });

  test.each(['id', 'time'] as const)(
    'pages by %s give each entry once, whatever is written meanwhile',
    async (by) => {
      const written: string[] = [];
      for (let index = 0; index < 25; index += 1) written.push(await write({ action: `page.${by}` }));
      const seen: string[] = [];
      let before = '';
      for (;;) {
        const answer = await panel.get(
          `${LOGS}?action=page.${by}&limit=7${before && `&before=${encodeURIComponent(before)}`}`,
          reader.token,
        );
        seen.push(...ids(answer));
        await write({ action: `page.${by}` });
        const { nextBefore } = answer.body.pagination;
        if (nextBefore === null) break;
        before = by === 'id' ? nextBefore : answer.body.data.at(-1).createdAt;
      }
      expect(seen).toEqual(written.reverse());
    },
  );

  test('says that there is no further page when the last one is full', async () => {
    for (let index = 0; index < 4; index += 1) await write({ action: 'full.page' });
    const first = await panel.get(`${LOGS}?action=full.page&limit=2`, reader.token);
    const second = await panel.get(
      `${LOGS}?action=full.page&limit=2&before=${first.body.pagination.nextBefore}`,
      reader.token,
    );
    expect(second.body.data).toHaveLength(2);
    expect(second.body.pagination.nextBefore).toBeNull();
  });
});

describe('the activity of a server', () => {
  let server: { id: string };
  let owner: TestUser;
  beforeAll(async () => {
    owner = await panel.createUser();
    const { id: nodeId } = await panel.createNode();
    server = await insertServer(panel, { nodeId, ownerId: owner.id });
    await write({ action: 'server.start', user: owner, serverId: server.id });
    await write({ action: 'server.suspend', user: administrator, serverId: server.id });
    await write({ action: 'server.start', user: administrator, serverId: 'another' });
  });
  const url = () => `/api/servers/${server.id}/activity`;

  test('is 401 without a token, 404 for strangers, 403 for members without activity.read, 400 for nonsense', async () => {
    expect((await panel.get(url())).status).toBe(401);
    const stranger = await panel.createUser();
    expect((await panel.get(url(), stranger.token)).body.code).toBe('server.not_found');
    await panel.context.database.prisma.serverAccess.create({
      data: { userId: stranger.id, serverId: server.id, permissions: ['server.read'] },
    });
    expect((await panel.get(url(), stranger.token)).body.code).toBe('permission.denied');
    expect((await panel.get('/api/servers/x/activity', owner.token)).body.code).toBe('server.not_found');
    const other = await panel.get(`${url()}?serverId=another`, owner.token);
    expect([other.status, other.body.code]).toEqual([400, 'request.invalid']);
  });

  test('is of this server only, and tells an owner who, but not from where others came', async () => {
    const answer = await panel.get(url(), owner.token);
    expect(answer.body.data).toMatchObject([
      { action: 'server.suspend', username: administrator.username, ipAddress: null, userAgent: null },
      { action: 'server.start', username: owner.username, ipAddress: '192.0.2.7', userAgent: 'a browser' },
    ]);
    expect(answer.body.pagination).toEqual({ limit: 100, nextBefore: null });
    const filtered = await panel.get(`${url()}?action=server.suspend`, owner.token);
    expect(filtered.body.data).toHaveLength(1);
  });

  test('tells who may read the whole log everything', async () => {
    const support = await panel.createUser(['admin.read', 'activity.read']);
    const answer = await panel.get(url(), support.token);
    expect(answer.body.data.map(({ ipAddress }: { ipAddress: string }) => ipAddress)).toEqual([
      '192.0.2.7',
      '192.0.2.7',
    ]);
  });
});
