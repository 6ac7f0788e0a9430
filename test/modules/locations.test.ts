import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

let panel: Panel;
let administrator: TestUser;
let user: TestUser;
beforeAll(async () => {
  panel = await startPanel();
  administrator = await panel.createAdministrator();
  user = await panel.createUser(['admin.read']);
});
afterAll(() => panel.close());

const ROUTES = [
  ['GET', '/api/locations', undefined],
  ['POST', '/api/locations', { name: 'x' }],
  ['GET', '/api/locations/x', undefined],
  ['PUT', '/api/locations/x', { name: 'x' }],
  ['DELETE', '/api/locations/x', undefined],
] as const;

test.each(ROUTES)('%s %s is 401 without a token', async (method, url, body) => {
  expect((await panel.call(method, url, body)).status).toBe(401);
});

test.each(ROUTES.filter(([method]) => method !== 'GET'))(
  '%s %s is 403 for who may only read, before the body is looked at',
  async (method, url, body) => {
    for (const sent of [body, { nonsense: true }]) {
      expect((await panel.call(method, url, sent, user.token)).body.code).toBe('permission.denied');
    }
  },
);

test.each(ROUTES.filter(([, url]) => url !== '/api/locations'))(
  '%s %s is 404 for a location that does not exist',
  async (method, url, body) => {
    const answer = await panel.call(method, url, body, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([404, 'location.not_found']);
  },
);

test.each([
  ['no name', {}, 'body.name'],
  ['an empty name', { name: '  ' }, 'body.name'],
  ['a name that is too long', { name: 'x'.repeat(101) }, 'body.name'],
  ['a line break in a name', { name: 'a\nb' }, 'body.name'],
  ['an unknown field', { name: 'x', country: 'DE' }, '"country"'],
])('creating with %s is 400', async (_, body, named) => {
  const answer = await panel.post('/api/locations', body, administrator.token);
  expect(answer.status).toBe(400);
  expect(answer.body.message).toContain(named);
});

test('a location is created, read by anybody signed in, changed and deleted', async () => {
  const created = await panel.post(
    '/api/locations',
    { name: ' Frankfurt ', description: 'Rack 3' },
    administrator.token,
  );
  expect(created.status).toBe(201);
  expect(created.body.data).toEqual({
    id: expect.any(String),
    name: 'Frankfurt',
    description: 'Rack 3',
    nodeCount: 0,
    createdAt: expect.any(String),
    updatedAt: expect.any(String),
  });
  const url = `/api/locations/${created.body.data.id}`;
  expect((await panel.get(url, user.token)).body).toEqual(created.body);
  const changed = await panel.put(url, { name: 'Paris' }, administrator.token);
  expect(changed.body.data).toMatchObject({ name: 'Paris', description: 'Rack 3' });
  expect((await panel.get('/api/locations', user.token)).body.data).toMatchObject([{ name: 'Paris' }]);
  expect((await panel.delete(url, administrator.token)).body).toEqual({ success: true });
  expect((await panel.get(url, user.token)).status).toBe(404);
});

test('of 10 at once with one name one is made, the others are 409', async () => {
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => panel.post('/api/locations', { name: 'Race' }, administrator.token)),
  );
  const statuses = answers.map(({ status }) => status).sort();
  expect(statuses).toEqual([201, ...Array.from({ length: 9 }, () => 409)]);
  const other = await panel.createLocation();
  const renamed = await panel.put(`/api/locations/${other.id}`, { name: 'Race' }, administrator.token);
  expect([renamed.status, renamed.body.code]).toEqual([409, 'location.name_taken']);
});

test('an unknown filter is 400', async () => {
  expect((await panel.get('/api/locations?name=x', user.token)).status).toBe(400);
});

test('a search finds parts of names and descriptions, whatever characters are in them', async () => {
  const tag = randomBytes(4).toString('hex');
  for (const name of [`${tag} 100%`, `${tag} 100 euro`, `${tag} a_b`]) {
    await panel.post('/api/locations', { name, description: `Rack ${tag}` }, administrator.token);
  }
  const found = async (search: string) => {
    const { body } = await panel.get(`/api/locations?search=${encodeURIComponent(search)}`, user.token);
    expect(body.pagination.total).toBe(body.data.length);
    return body.data.map(({ name }: { name: string }) => name.slice(tag.length + 1));
  };
  expect(await found(tag.toUpperCase())).toEqual(['100 euro', '100%', 'a_b']);
  expect(await found(`rack ${tag}`)).toHaveLength(3);
  expect(await found(`${tag} 100%`)).toEqual(['100%']);
  expect(await found(`${tag} a_`)).toEqual(['a_b']);
  expect(await found('\\')).toEqual([]);
});

test('a location tells how many nodes are in it', async () => {
  const { location } = await panel.createNode();
  const { body } = await panel.get(`/api/locations/${location.id}`, user.token);
  expect(body.data.nodeCount).toBe(1);
});

test('a change that changes nothing is no change', async () => {
  const body = { name: 'Unchanged', description: 'Rack 1' };
  const { data } = (await panel.post('/api/locations', body, administrator.token)).body;
  for (const same of [{}, body]) {
    const answer = await panel.put(`/api/locations/${data.id}`, same, administrator.token);
    expect(answer).toMatchObject({ status: 200, body: { data } });
  }
  const where = { resourceId: String(data.id) };
  expect(await panel.context.database.prisma.auditLog.count({ where })).toBe(1);
});

test('each change is in the audit log, with what was before; what was refused is not', async () => {
  const created = await panel.post('/api/locations', { name: 'Audited' }, administrator.token);
  const { id } = created.body.data;
  await panel.put(`/api/locations/${id}`, { name: 'Renamed', description: '' }, administrator.token);
  await panel.put(`/api/locations/${id}`, { name: 5 }, administrator.token);
  await panel.delete(`/api/locations/${id}`, administrator.token);
  const rows = await panel.context.database.prisma.auditLog.findMany({
    where: { resourceType: 'location', resourceId: id },
    orderBy: { id: 'asc' },
  });
  expect(rows.map(({ action, userId, metadata }) => [action, userId, metadata])).toEqual([
    [
      'location.create',
      administrator.id,
      expect.objectContaining({ locationName: 'Audited', after: { name: 'Audited', description: '' } }),
    ],
    [
      'location.update',
      administrator.id,
      { locationName: 'Audited', before: { name: 'Audited' }, after: { name: 'Renamed' } },
    ],
    ['location.delete', administrator.id, { locationName: 'Renamed' }],
  ]);
});

test('a location with nodes in it is not deleted: 409', async () => {
  const { location } = await panel.createNode();
  const answer = await panel.delete(`/api/locations/${location.id}`, administrator.token);
  expect([answer.status, answer.body.code]).toEqual([409, 'location.in_use']);
});
