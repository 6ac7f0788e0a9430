import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { postgresqlEngine } from '../helpers/database-engines.js';
import { createHost, type DatabaseSetup, setUpDatabases } from '../helpers/database-setup.js';
import { startPanel, type TestUser } from '../helpers/panel.js';

let engine: Awaited<ReturnType<typeof postgresqlEngine>>;
let setup: DatabaseSetup;
let url: string;
let serverId: string;
let databaseId: string;
beforeAll(async () => {
  engine = await postgresqlEngine();
  setup = await setUpDatabases(engine);
  ({ url, id: serverId } = await setup.createServer());
  const made = await setup.panel.post(url, { name: setup.name() }, setup.owner.token);
  databaseId = made.body.data.id;
});
afterAll(async () => {
  await setup?.close();
  await engine?.drop();
});

const ROUTES = [
  ['GET', 'databases', 'database.read'],
  ['GET', 'database-hosts', 'database.create'],
  ['POST', 'databases', 'database.create'],
  ['POST', 'databases/:databaseId/rotate', 'database.rotate'],
  ['DELETE', 'databases/:databaseId', 'database.delete'],
] as const;

/** A member of the server with exactly these rights. */
async function member(permissions: string[]): Promise<TestUser> {
  const user = await setup.panel.createUser();
  const data = { serverId, userId: user.id, permissions };
  await setup.panel.context.database.prisma.serverAccess.create({ data });
  return user;
}

function call(method: string, route: string, token?: string, fields: Record<string, unknown> = {}) {
  const body = method === 'POST' && route === 'databases' ? { name: 'x', ...fields } : undefined;
  const address = `/api/servers/${serverId}/${route.replace(':databaseId', databaseId)}`;
  return setup.panel.call(method, address, body, token);
}

test.each(ROUTES)(
  '%s %s is 401, 404 for a stranger, 403 for a member with everything but %s',
  async (method, route, permission) => {
    const { panel } = setup;
    expect((await call(method, route)).status).toBe(401);
    const stranger = await panel.createUser();
    expect((await call(method, route, stranger.token)).body.code).toBe('server.not_found');
    const others = ['read', 'create', 'rotate', 'delete'].map((action) => `database.${action}`);
    const almost = await member(['server.read', ...others.filter((right) => right !== permission)]);
    expect((await call(method, route, almost.token)).body.code).toBe('permission.denied');
  },
);

test('each right lets its holder do its one thing', async () => {
  const name = setup.name();
  const made = await call('POST', 'databases', (await member(['database.create'])).token, { name });
  expect(made.status).toBe(201);
  const one = `databases/${made.body.data.id}`;
  const reader = await member(['database.read']);
  expect((await call('GET', 'databases', reader.token)).body.data).toContainEqual(made.body.data);
  const rotated = await call('POST', `${one}/rotate`, (await member(['database.rotate'])).token);
  expect(rotated.status).toBe(200);
  expect((await call('DELETE', one, (await member(['database.delete'])).token)).status).toBe(200);
});

test('of a suspended server databases are read and nothing else', async () => {
  const { panel, owner } = setup;
  const server = await setup.createServer({ suspendedAt: new Date() });
  expect((await panel.get(server.url, owner.token)).status).toBe(200);
  const answer = await panel.post(server.url, { name: setup.name() }, owner.token);
  expect([answer.status, answer.body.code]).toEqual([423, 'server.suspended']);
});

test('the database of another server is 404', async () => {
  const { panel, owner } = setup;
  const other = await setup.createServer();
  for (const [method, path] of [
    ['POST', `${databaseId}/rotate`],
    ['DELETE', databaseId],
    ['DELETE', 'x'],
  ] as const) {
    const answer = await panel.call(method, `${other.url}/${path}`, undefined, owner.token);
    expect([answer.status, answer.body.code]).toEqual([404, 'database.not_found']);
  }
});

test.each([
  ['no name', { name: undefined }, 'body.name'],
  ['an empty name', { name: '' }, 'body.name'],
  ['a name that is too long', { name: 'x'.repeat(49) }, 'body.name'],
  ['a hyphen', { name: 'a-b' }, 'body.name'],
  ['a backtick', { name: 'a`b' }, 'body.name'],
  ['a wildcard', { name: 'a%b' }, 'body.name'],
  ['a line feed at its end', { name: 'ab\n' }, 'body.name'],
  ["the engine's own name", { name: 'MySQL' }, 'reserved'],
  ["the engine's own template", { name: 'template1' }, 'reserved'],
  ["the engine's own prefix", { name: 'PG_things' }, 'reserved'],
  ['a host that there is not', { hostId: 'x' }, 'body.hostId'],
  ['a quote in remote', { remote: "%' OR 1" }, 'body.remote'],
  ['an unknown field', { owner: 'x' }, '"owner"'],
  ['a remote, which PostgreSQL has not', { remote: '10.0.0.%' }, 'body.remote'],
])('%s is 400, and nothing is made', async (_, fields, named) => {
  const before = await setup.rows({});
  const body = { name: 'fine', hostId: setup.host.id, ...fields };
  const answer = await setup.panel.post(url, body, setup.owner.token);
  expect([answer.status, answer.body.code]).toEqual([400, 'request.invalid']);
  expect(answer.body.message).toContain(named);
  expect(await setup.rows({})).toEqual(before);
});

test('a server has no more databases than its limit, whoever asks on which panel at once', async () => {
  const { panel, owner, host } = setup;
  const server = await setup.createServer({ databaseLimit: 2 });
  const other = await startPanel({ database: panel.database });
  const answers = await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      (index % 2 ? panel : other).post(server.url, { name: setup.name(), hostId: host.id }, owner.token),
    ),
  );
  await other.close();
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 409, 409, 409, 409]);
  const refused = answers.find(({ status }) => status === 409);
  expect(refused?.body.code).toBe('database.limit_reached');
  const made = answers.find(({ status }) => status === 201);
  await panel.delete(`${server.url}/${made?.body.data.id}`, owner.token);
  expect((await panel.post(server.url, { name: setup.name() }, owner.token)).status).toBe(201);
});

test('a host has no more databases than its limit, whoever asks on which panel at once', async () => {
  const { panel, owner, administrator } = setup;
  const small = await createHost(panel, administrator, engine, { maxDatabases: 1 });
  const other = await startPanel({ database: panel.database });
  const answers = await Promise.all(
    Array.from({ length: 4 }, async (_, index) => {
      const server = await setup.createServer();
      const body = { name: setup.name(), hostId: small.id };
      return (index % 2 ? panel : other).post(server.url, body, owner.token);
    }),
  );
  await other.close();
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409]);
  expect(answers.find(({ status }) => status === 409)?.body.code).toBe('database_host.full');
  const hosts = await panel.get(`/api/servers/${serverId}/database-hosts`, owner.token);
  expect(hosts.body.data).toContainEqual({
    id: small.id,
    name: small.name,
    engine: 'postgresql',
    hasRoom: false,
  });
});

test('without a host the emptiest one with room is taken, at its public address', async () => {
  const { panel, owner, administrator } = setup;
  await createHost(panel, administrator, engine, { maxDatabases: 0 });
  const name = `public ${randomBytes(4).toString('hex')}`;
  const fields = { name, publicHost: 'db.example.com', publicPort: 15_432 };
  const empty = await createHost(panel, administrator, engine, fields);
  const server = await setup.createServer();
  const answer = await panel.post(server.url, { name: setup.name() }, owner.token);
  expect(answer.status).toBe(201);
  expect(answer.body.data).toMatchObject({
    hostId: empty.id,
    hostName: name,
    host: 'db.example.com',
    port: 15_432,
  });
});
