import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  describeMysql,
  mysqlEngine,
  postgresqlEngine,
  type TestEngine,
} from '../helpers/database-engines.js';
import { createHost } from '../helpers/database-setup.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

const URL = '/api/admin/database-hosts';

let panel: Panel;
let administrator: TestUser;
let reader: TestUser;
let postgresql: Awaited<ReturnType<typeof postgresqlEngine>>;
const logged: string[] = [];
beforeAll(async () => {
  panel = await startPanel({ log: { level: 'debug', write: (line) => void logged.push(line) } });
  administrator = await panel.createAdministrator();
  reader = await panel.createUser(['admin.read']);
  postgresql = await postgresqlEngine();
});
afterAll(async () => {
  await panel.close();
  await postgresql.drop();
});

const BODY = { name: 'x', engine: 'mysql', host: '127.0.0.1', username: 'x', password: 'x' };
const ROUTES = [
  ['GET', URL, undefined],
  ['POST', URL, BODY],
  ['GET', `${URL}/x`, undefined],
  ['PUT', `${URL}/x`, { name: 'x' }],
  ['DELETE', `${URL}/x`, undefined],
  ['POST', `${URL}/x/test`, undefined],
] as const;

test.each(ROUTES)('%s %s is 401 without a token, and 403 for who is no administrator', async (...route) => {
  const [method, url, body] = route;
  expect((await panel.call(method, url, body)).status).toBe(401);
  const user = method === 'GET' ? await panel.createUser() : reader;
  expect((await panel.call(method, url, body, user.token)).body.code).toBe('permission.denied');
});

test.each(ROUTES.filter(([, url]) => url !== URL))(
  '%s %s is 404 for a host that does not exist',
  async (method, url, body) => {
    const answer = await panel.call(method, url, body, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([404, 'database_host.not_found']);
  },
);

test.each([
  ['no password', { password: undefined }, 'body.password'],
  ['an engine that there is not', { engine: 'oracle' }, 'body.engine'],
  ['a path as the host', { host: '/var/run/postgresql' }, 'body.host'],
  ['a URL as the host', { host: 'mysql://x' }, 'body.host'],
  ['a port of nobody', { port: 65_536 }, 'body.port'],
  ['a port as text', { port: '3306' }, 'body.port'],
  ['fewer than no databases', { maxDatabases: -1 }, 'body.maxDatabases'],
  ['an unknown field', { socketPath: '/x' }, '"socketPath"'],
])('creating with %s is 400', async (_, fields, named) => {
  const answer = await panel.post(URL, { ...BODY, ...fields }, administrator.token);
  expect([answer.status, answer.body.code]).toEqual([400, 'request.invalid']);
  expect(answer.body.message).toContain(named);
});

function bodyFor(
  { engine, host, port, username, password }: TestEngine,
  fields: Record<string, unknown> = {},
) {
  const name = `host ${randomBytes(4).toString('hex')}`;
  return { name, engine, host, port, username, password, ...fields };
}

/** The answer to a host that the panel must not take, and that it did not. */
async function refusal(engine: TestEngine, fields: Record<string, unknown>) {
  const body = bodyFor(engine, fields);
  const answer = await panel.post(URL, body, administrator.token);
  const count = await panel.context.database.prisma.databaseHost.count({ where: { name: body.name } });
  expect(count).toBe(0);
  return [answer.status, answer.body.code, answer.body.message];
}

test('a host is tried out, stored without its password in sight, read, changed and deleted', async () => {
  const body = bodyFor(postgresql, { name: ' Frankfurt ', publicHost: 'db.example.com', publicPort: 15_432 });
  const created = await panel.post(URL, body, administrator.token);
  expect(created.status).toBe(201);
  expect(created.body).toEqual({
    success: true,
    data: {
      id: expect.any(String),
      name: 'Frankfurt',
      engine: 'postgresql',
      host: postgresql.host,
      port: postgresql.port,
      publicHost: 'db.example.com',
      publicPort: 15_432,
      username: postgresql.username,
      useTls: false,
      maxDatabases: null,
      databaseCount: 0,
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    },
  });
  const url = `${URL}/${created.body.data.id}`;
  expect((await panel.get(url, reader.token)).body).toEqual(created.body);
  expect((await panel.get(URL, reader.token)).body.data).toContainEqual(created.body.data);
  const changed = await panel.put(url, { maxDatabases: 3, publicHost: null }, administrator.token);
  expect(changed.body.data).toMatchObject({ name: 'Frankfurt', maxDatabases: 3, publicHost: null });
  expect((await panel.put(url, { maxDatabases: 3 }, administrator.token)).body).toEqual(changed.body);
  expect((await panel.put(url, {}, administrator.token)).body).toEqual(changed.body);
  expect((await panel.post(`${url}/test`, undefined, administrator.token)).body).toEqual({
    success: true,
    data: { version: expect.stringMatching(/^18/) },
  });
  const { prisma } = panel.context.database;
  const { passwordEncrypted } = await prisma.databaseHost.findUniqueOrThrow({
    where: { id: created.body.data.id },
  });
  expect(passwordEncrypted).not.toContain(postgresql.password);
  expect((await panel.delete(url, administrator.token)).body).toEqual({ success: true });
  expect((await panel.get(url, reader.token)).status).toBe(404);
  const audit = await prisma.auditLog.findMany({
    where: { resourceId: created.body.data.id },
    orderBy: { id: 'asc' },
  });
  expect(audit.map(({ action }) => action)).toEqual([
    'database_host.create',
    'database_host.update',
    'database_host.delete',
  ]);
  const texts = [
    created.text,
    changed.text,
    ...logged,
    ...audit.map(({ metadata }) => JSON.stringify(metadata)),
  ];
  expect(texts.join('\n')).not.toContain(postgresql.password);
});

test('trying a host out leaves nothing on it', async () => {
  await createHost(panel, administrator, postgresql);
  const left = await postgresql.operate(
    `SELECT datname FROM pg_database WHERE datname LIKE 'catalyst_trial_%'`,
  );
  const members = await postgresql.operate(
    `SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = '${postgresql.username}'`,
  );
  expect([left, members]).toEqual([[], []]);
});

test('of 5 at once with one name one is stored, the others are 409', async () => {
  const body = bodyFor(postgresql, { name: 'Race' });
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => panel.post(URL, body, administrator.token)),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409]);
});

test('a changed password is tried out before it is stored', async () => {
  const host = await createHost(panel, administrator, postgresql);
  const url = `${URL}/${host.id}`;
  const wrong = await panel.put(url, { password: 'not the password' }, administrator.token);
  expect([wrong.status, wrong.body.code]).toEqual([400, 'database_host.unsuitable']);
  expect((await panel.post(`${url}/test`, undefined, administrator.token)).status).toBe(200);
  const { password } = postgresql;
  const nowhere = await panel.put(url, { host: '127.0.0.1', port: 1, password }, administrator.token);
  expect(nowhere.status).toBe(503);
  expect((await panel.get(url, administrator.token)).body.data.port).toBe(postgresql.port);
  const right = await panel.put(url, { password: postgresql.password, name: 'Right' }, administrator.token);
  expect(right.body.data.name).toBe('Right');
  const audit = await panel.context.database.prisma.auditLog.findFirstOrThrow({
    where: { resourceId: host.id, action: 'database_host.update' },
  });
  expect(audit.metadata).toMatchObject({ after: { name: 'Right', passwordEncrypted: '[hidden]' } });
});

test('a host that is moved without its password is 400, and nobody there hears the stored one', async () => {
  let heard = 0;
  const spy = createServer((socket) => {
    heard += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => spy.listen(0, '127.0.0.1', resolve));
  const address = spy.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const host = await createHost(panel, administrator, postgresql);
  for (const fields of [{ port }, { host: 'localhost', port }, { host: 'localhost' }]) {
    const answer = await panel.put(`${URL}/${host.id}`, fields, administrator.token);
    expect([answer.status, answer.body.code]).toEqual([400, 'request.invalid']);
    expect(answer.body.message).toContain('body.password');
  }
  expect(heard).toBe(0);
  spy.close();
  const same = { host: postgresql.host, port: postgresql.port, name: `moved ${host.name}` };
  expect((await panel.put(`${URL}/${host.id}`, same, administrator.token)).status).toBe(200);
  const withPassword = { host: 'localhost', password: postgresql.password };
  expect((await panel.put(`${URL}/${host.id}`, withPassword, administrator.token)).status).toBe(200);
});

test('a host that says a lot is not quoted in full', async () => {
  const error = (text: string) => Buffer.from(`SERROR\0C08000\0M${text}\0\0`);
  const talker = createServer((socket) => {
    const body = error('x'.repeat(50_000));
    const head = Buffer.alloc(5);
    head.write('E');
    head.writeInt32BE(body.length + 4, 1);
    socket.on('error', () => {});
    socket.end(Buffer.concat([head, body]));
  });
  await new Promise<void>((resolve) => talker.listen(0, '127.0.0.1', resolve));
  const address = talker.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const [status, , message] = await refusal(postgresql, { host: '127.0.0.1', port });
  talker.close();
  expect(status).toBe(503);
  expect(message).toContain('xxx');
  expect(message.length).toBeLessThan(1000);
});

test('a host with databases on it is not deleted: 409', async () => {
  const host = await createHost(panel, administrator, postgresql);
  const node = await panel.createNode();
  const server = await insertServer(panel, { nodeId: node.id, ownerId: administrator.id });
  const url = `/api/servers/${server.id}/databases`;
  const name = `hosted_${randomBytes(5).toString('hex')}`;
  const made = await panel.post(url, { name, hostId: host.id }, administrator.token);
  expect(made.status).toBe(201);
  expect((await panel.get(`${URL}/${host.id}`, administrator.token)).body.data.databaseCount).toBe(1);
  const answer = await panel.delete(`${URL}/${host.id}`, administrator.token);
  expect([answer.status, answer.body.code]).toEqual([409, 'database_host.in_use']);
  expect((await panel.delete(`${url}/${made.body.data.id}`, administrator.token)).status).toBe(200);
  expect((await panel.delete(`${URL}/${host.id}`, administrator.token)).status).toBe(200);
});

test('a host that says nothing is 503 after 5 seconds', async () => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const startedAt = Date.now();
  const answers = await Promise.all([
    refusal(postgresql, { host: '127.0.0.1', port }),
    refusal(postgresql, { host: '127.0.0.1', port, engine: 'mysql' }),
  ]);
  expect(Date.now() - startedAt).toBeLessThan(9000);
  silent.close();
  const expected = [503, 'database_host.unavailable', expect.stringContaining('no answer within 5 s')];
  expect(answers).toEqual([expected, expected]);
});

describe('PostgreSQL', () => {
  test.each([
    ['a wrong password', { password: 'wrong' }, 400, /refuses this account/],
    ['nobody at the port', { host: '127.0.0.1', port: 1 }, 503, /ECONNREFUSED/],
    ['a name that does not resolve', { host: 'database.invalid' }, 503, /ENOTFOUND|EAI_AGAIN/],
    ['TLS where there is none', { useTls: true }, 503, /does not support SSL/],
  ])('%s: nothing is stored', async (_, fields, status, message) => {
    const answer = await refusal(postgresql, fields);
    expect([answer[0], answer[2]]).toEqual([status, expect.stringMatching(message)]);
  });

  test.each([
    ['CREATEDB', 'CREATEROLE'],
    ['CREATEROLE', 'CREATEDB'],
  ])('an account that has only %s is told to get %s', async (held, missing) => {
    const username = `weak_${randomBytes(4).toString('hex')}`;
    await postgresql.operate(`CREATE ROLE ${username} LOGIN ${held} PASSWORD 'weak'`);
    const answer = await refusal(postgresql, { username, password: 'weak' });
    await postgresql.operate(`DROP ROLE ${username}`);
    expect(answer).toEqual([400, 'database_host.unsuitable', expect.stringContaining(`(${missing})`)]);
  });

  test('a superuser will do too', async () => {
    const username = `super_${randomBytes(4).toString('hex')}`;
    await postgresql.operate(`CREATE ROLE ${username} LOGIN SUPERUSER PASSWORD 'super'`);
    await createHost(panel, administrator, postgresql, { username, password: 'super' });
    await postgresql.operate(`DROP ROLE ${username}`);
  });
});

describeMysql('MariaDB', () => {
  const mysql = mysqlEngine();

  test.each([
    ['a wrong password', { password: 'wrong' }, 400, /refuses this account/],
    ['nobody at the port', { port: 1 }, 503, /ECONNREFUSED/],
    ['TLS where there is none', { useTls: true }, 503, /secure connection|SSL/i],
    ['another engine at the port', { engine: 'postgresql' }, 503, /./],
  ])('%s: nothing is stored', async (_, fields, status, message) => {
    const answer = await refusal(mysql, fields);
    expect([answer[0], answer[2]]).toEqual([status, expect.stringMatching(message)]);
  });

  test.each([
    ['SELECT', 'PROCESS'],
    ['PROCESS', 'CONNECTION ADMIN'],
    ['PROCESS, CONNECTION ADMIN', 'create users'],
    ['PROCESS, CONNECTION ADMIN, CREATE USER', 'create databases'],
    ['PROCESS, CONNECTION ADMIN, CREATE USER, CREATE, DROP', 'WITH GRANT OPTION'],
  ])('an account that has only %s is told to get %s', async (held, missing) => {
    const username = `weak_${randomBytes(4).toString('hex')}`;
    const user = `'${username}'@'127.0.0.1', '${username}'@'localhost'`;
    await mysql.operate(`CREATE USER ${user.replaceAll(/'(,|$)/g, "' IDENTIFIED BY 'weak'$1")}`);
    await mysql.operate(`GRANT ${held} ON *.* TO ${user}`);
    const answer = await refusal(mysql, { username, password: 'weak' });
    await mysql.operate(`DROP USER ${user}`);
    expect(answer).toEqual([400, 'database_host.unsuitable', expect.stringContaining(missing)]);
  });

  test('trying a host out leaves nothing on it', async () => {
    const host = await createHost(panel, administrator, mysql);
    const tested = await panel.post(`${URL}/${host.id}/test`, {}, administrator.token);
    expect(tested.body.data.version).toMatch(/MariaDB/);
    expect(await mysql.operate(`SHOW DATABASES LIKE 'catalyst\\_trial\\_%'`)).toEqual([]);
  });
});
