import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EngineSession, TestEngine } from '../helpers/database-engines.js';
import { type DatabaseSetup, setUpDatabases } from '../helpers/database-setup.js';
import { startPanel } from '../helpers/panel.js';

/** What `provision.ts` gives every account. */
const CONNECTIONS_MAX = 20;

/** What holds on every engine, tried on a real server. */
export function testDatabases(startEngine: () => Promise<TestEngine>): void {
  let engine: TestEngine;
  let setup: DatabaseSetup;
  beforeAll(async () => {
    engine = await startEngine();
    setup = await setUpDatabases(engine);
  });
  afterAll(() => setup?.close());

  async function create(url: string, name: string, fields: Record<string, unknown> = {}) {
    return setup.panel.post(url, { name, hostId: setup.host.id, ...fields }, setup.owner.token);
  }

  async function createDatabase(prefix?: string) {
    const server = await setup.createServer();
    const answer = await create(server.url, setup.name(prefix));
    expect(answer.text).toContain('"success":true');
    return { server, url: `${server.url}/${answer.body.data.id}`, database: answer.body.data };
  }

  async function listed(url: string) {
    return (await setup.panel.get(url, setup.owner.token)).body.data;
  }

  test('create, list, rotate and delete answer as documented', async () => {
    const { panel, owner, host } = setup;
    const server = await setup.createServer();
    const name = setup.name('Server');
    const created = await create(server.url, name);
    expect(created.status).toBe(201);
    expect(created.body).toEqual({
      success: true,
      data: {
        id: expect.any(String),
        name,
        username: expect.stringMatching(/^u[a-z0-9]{15}$/),
        password: expect.stringMatching(/^[A-Za-z0-9]{32}$/),
        host: '127.0.0.1',
        port: setup.cable.port,
        hostId: host.id,
        hostName: host.name,
        createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      },
    });
    const list = await panel.get(server.url, owner.token);
    expect(list.body).toEqual({
      success: true,
      data: [created.body.data],
      pagination: { page: 1, limit: 20, total: 1, pages: 1 },
    });
    const url = `${server.url}/${created.body.data.id}`;
    const rotated = await panel.post(`${url}/rotate`, undefined, owner.token);
    expect(rotated.status).toBe(200);
    const { password } = rotated.body.data;
    expect(password).not.toBe(created.body.data.password);
    expect(rotated.body).toEqual({ success: true, data: { ...created.body.data, password } });
    expect(await listed(server.url)).toEqual([rotated.body.data]);
    const deleted = await panel.delete(url, owner.token);
    expect([deleted.status, deleted.body]).toEqual([200, { success: true }]);
    expect(await listed(server.url)).toEqual([]);
    expect(await setup.rows({ serverId: server.id })).toEqual([]);
  });

  test('the account works, may do everything in its own database and nothing elsewhere', async () => {
    const { database } = await createDatabase();
    const { database: neighbour } = await createDatabase();
    const session = await setup.login(database);
    await session.query('CREATE TABLE players (id int PRIMARY KEY)');
    await session.query('INSERT INTO players VALUES (1)');
    await session.query('ALTER TABLE players ADD name varchar(20)');
    expect(await session.query('SELECT id, name FROM players')).toEqual([{ id: 1, name: null }]);
    for (const sql of [
      `CREATE DATABASE ${engine.quote(setup.name())}`,
      engine.engine === 'mysql' ? `CREATE USER 'intruder'@'%'` : 'CREATE ROLE intruder',
      `DROP DATABASE ${engine.quote(neighbour.name)}`,
    ]) {
      await expect(session.query(sql), sql).rejects.toThrow(/denied|must be owner/i);
    }
    await session.end();
    await expect(setup.login({ ...database, name: neighbour.name })).rejects.toThrow(/denied/i);
  });

  test('a name that differs at an underscore only is another database', async () => {
    const { database } = await createDatabase('a_b');
    const other = setup.own(database.name.replace('a_b', 'axb'));
    const server = await setup.createServer();
    expect((await create(server.url, other)).status).toBe(201);
    await expect(setup.login({ ...database, name: other })).rejects.toThrow(/denied/i);
    await (await setup.login(database)).end();
  });

  test('an account has no more connections than its limit', async () => {
    const { database } = await createDatabase();
    const sessions: EngineSession[] = [];
    for (let count = 0; count < CONNECTIONS_MAX; count += 1) sessions.push(await setup.login(database));
    await expect(setup.login(database)).rejects.toThrow(/too many connections|max_user_connections/);
    await Promise.all(sessions.map((session) => session.end()));
  });

  test('after a rotation the old password is dead, and who was connected with it is out', async () => {
    const { url, database } = await createDatabase();
    const session = await setup.login(database);
    const rotated = await setup.panel.post(`${url}/rotate`, undefined, setup.owner.token);
    await session.ended;
    await expect(setup.login(database)).rejects.toThrow(/denied|password/i);
    await (await setup.login(rotated.body.data)).end();
  });

  test('two rotations at once leave the password that is shown last', async () => {
    const { server, url } = await createDatabase();
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => setup.panel.post(`${url}/rotate`, undefined, setup.owner.token)),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const [database] = await listed(server.url);
    await (await setup.login(database)).end();
  });

  test('deleting ends its connections; database and user are gone, and the name is free', async () => {
    const { server, url, database } = await createDatabase();
    const session = await setup.login(database);
    await session.query('CREATE TABLE players (id int)');
    expect((await setup.panel.delete(url, setup.owner.token)).status).toBe(200);
    await session.ended;
    expect(await engine.hasDatabase(database.name)).toBe(false);
    expect(await engine.hasUser(database.username)).toBe(false);
    expect((await create(server.url, database.name)).status).toBe(201);
  });

  test('a name that the host has already, in whatever case, is 409 and left alone', async () => {
    const server = await setup.createServer();
    const name = setup.name('Theirs');
    await engine.operate(`CREATE DATABASE ${engine.quote(name)}`);
    for (const wanted of [name, name.toLowerCase()]) {
      const answer = await create(server.url, wanted);
      expect([answer.status, answer.body.code]).toEqual([409, 'database.name_taken']);
    }
    expect(await engine.hasDatabase(name)).toBe(true);
    expect(await setup.rows({ serverId: server.id })).toEqual([]);
  });

  test('of 6 at once with one name one is made, the others are 409', async () => {
    const name = setup.name('race');
    const servers = await Promise.all(Array.from({ length: 6 }, () => setup.createServer()));
    const answers = await Promise.all(
      servers.map(({ url }, index) => create(url, index % 2 ? name : name.toUpperCase())),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409, 409]);
    const made = answers.find(({ status }) => status === 201);
    await (await setup.login(made?.body.data)).end();
  });

  test('a wave of requests has few connections at once, and is served to the last', async () => {
    const servers = await Promise.all(Array.from({ length: 16 }, () => setup.createServer()));
    setup.cable.countFromNow();
    const answers = await Promise.all(servers.map(({ url }) => create(url, setup.name())));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 201));
    // Four, of which PostgreSQL needs a second one into the new database; and one that is hanging up is seen for longer.
    expect(setup.cable.openMax()).toBeLessThanOrEqual(engine.engine === 'mysql' ? 4 + 4 : 8 + 4);
  });

  test('with the host away everything is 503, nothing changes, and it works when the host is back', async () => {
    const { panel, owner, cable } = setup;
    const { server, url, database } = await createDatabase();
    cable.cut();
    const answers = [
      await create(server.url, setup.name()),
      await panel.post(`${url}/rotate`, undefined, owner.token),
      await panel.delete(url, owner.token),
    ];
    cable.restore();
    expect(answers.map(({ body }) => [body.statusCode, body.code])).toEqual(
      Array.from({ length: 3 }, () => [503, 'database_host.unavailable']),
    );
    expect(await listed(server.url)).toEqual([database]);
    expect(await setup.rows({ serverId: server.id })).toHaveLength(1);
    await (await setup.login(database)).end();
    expect((await panel.delete(url, owner.token)).status).toBe(200);
  });

  test.each(['before', 'after'] as const)(
    'a host that is lost just %s it makes the database is 503, and what there is of it is cleared away',
    async (when) => {
      const server = await setup.createServer();
      const name = setup.name();
      setup.cable.cutAt('CREATE DATABASE', when);
      const answer = await create(server.url, name);
      expect([answer.status, answer.body.code]).toEqual([503, 'database_host.unavailable']);
      expect(await listed(server.url)).toEqual([]);
      const [row] = await setup.rows({ serverId: server.id });
      expect(row).toMatchObject({ state: 'creating', name });
      expect(await engine.hasUser(row?.username ?? '')).toBe(true);
      expect(await engine.hasDatabase(name)).toBe(when === 'after');
      // Neither while somebody may still be at work on it, nor while the host is away.
      await setup.finishPending(setup.panel, 1);
      await setup.finishPending();
      expect(await setup.rows({ serverId: server.id })).toHaveLength(1);
      setup.cable.restore();
      await setup.finishPending(setup.panel, 8);
      expect(await setup.rows({ serverId: server.id })).toEqual([]);
      expect(await engine.hasUser(row?.username ?? '')).toBe(false);
      expect(await engine.hasDatabase(name)).toBe(false);
      expect((await create(server.url, name)).status).toBe(201);
    },
  );

  test('a database that somebody else has made meanwhile is not cleared away', async () => {
    const server = await setup.createServer();
    const name = setup.name();
    setup.cable.cutAt('CREATE DATABASE', 'before', 'healed');
    expect((await create(server.url, name)).status).toBe(503);
    const [row] = await setup.rows({ serverId: server.id });
    await engine.operate(`CREATE DATABASE ${engine.quote(name)}`);
    const table = engine.engine === 'mysql' ? `${engine.quote(name)}.treasure` : null;
    if (table) await engine.operate(`CREATE TABLE ${table} (id int)`);
    await setup.finishPending();
    expect(await setup.rows({ serverId: server.id })).toEqual([]);
    expect(await engine.hasUser(row?.username ?? '')).toBe(false);
    expect(await engine.hasDatabase(name)).toBe(true);
  });

  test.each(['deleting it', 'deleting its server'])(
    'on a host that is another than it was, %s leaves the database of that name there alone',
    async (how) => {
      const { server, url, database } = await createDatabase();
      await engine.giveAway(database);
      if (how === 'deleting it') {
        expect((await setup.panel.delete(url, setup.owner.token)).status).toBe(200);
      } else {
        await setup.panel.context.database.prisma.server.delete({ where: { id: server.id } });
        await setup.finishPending();
      }
      expect(await setup.rows({ id: database.id })).toEqual([]);
      expect(await engine.hasDatabase(database.name)).toBe(true);
      expect(await engine.hasUser(database.username)).toBe(false);
      expect(
        setup.logged.some((line) => line.includes('may not be ours') && line.includes(database.name)),
      ).toBe(true);
    },
  );

  test('a name that somebody takes between the look and the making is 409, and only our user is taken back', async () => {
    const server = await setup.createServer();
    const name = setup.name();
    let username = '';
    setup.cable.holdAt('CREATE DATABASE', async () => {
      username = (await setup.rows({ name }))[0]?.username ?? '';
      expect(await engine.hasUser(username)).toBe(true);
      await engine.operate(`CREATE DATABASE ${engine.quote(name)}`);
    });
    const answer = await create(server.url, name);
    expect([answer.status, answer.body.code]).toEqual([409, 'database.name_taken']);
    expect(username).not.toBe('');
    expect(await engine.hasUser(username)).toBe(false);
    expect(await engine.hasDatabase(name)).toBe(true);
    expect(await setup.rows({ serverId: server.id })).toEqual([]);
  });

  test('a server that is deleted while its database is made leaves nothing on the host', async () => {
    const server = await setup.createServer();
    const name = setup.name();
    let username = '';
    setup.cable.holdAt('CREATE DATABASE', async () => {
      username = (await setup.rows({ name }))[0]?.username ?? '';
      await setup.panel.context.database.prisma.server.delete({ where: { id: server.id } });
    });
    const answer = await create(server.url, name);
    expect([answer.status, answer.body.code]).toEqual([404, 'server.not_found']);
    expect(await engine.hasUser(username)).toBe(false);
    expect(await engine.hasDatabase(name)).toBe(false);
    expect(await setup.rows({ name })).toEqual([]);
  });

  test('a rotation that is cut off leaves the stored password, which works', async () => {
    const { server, url, database } = await createDatabase();
    for (const when of ['before', 'after'] as const) {
      setup.cable.cutAt(engine.passwordStatement, when, 'healed');
      const answer = await setup.panel.post(`${url}/rotate`, undefined, setup.owner.token);
      expect([answer.status, answer.body.code]).toEqual([503, 'database_host.unavailable']);
      expect(await listed(server.url)).toEqual([database]);
      await (await setup.login(database)).end();
    }
  });

  test('a rotation that is cut off for long says that it has to be repeated, which helps', async () => {
    const { server, url, database } = await createDatabase();
    setup.cable.cutAt(engine.passwordStatement, 'after');
    const answer = await setup.panel.post(`${url}/rotate`, undefined, setup.owner.token);
    setup.cable.restore();
    expect([answer.status, answer.body.code]).toEqual([503, 'database_host.unavailable']);
    expect(answer.body.message).toContain('Rotate it again');
    expect(await listed(server.url)).toEqual([database]);
    const repeated = await setup.panel.post(`${url}/rotate`, undefined, setup.owner.token);
    await (await setup.login(repeated.body.data)).end();
  });

  test('a deletion that is cut off is carried out later; until then the name is taken', async () => {
    const { server, url, database } = await createDatabase();
    setup.cable.cutAt('DROP DATABASE', 'before');
    expect((await setup.panel.delete(url, setup.owner.token)).status).toBe(200);
    setup.cable.restore();
    expect(await listed(server.url)).toEqual([]);
    expect((await setup.panel.post(`${url}/rotate`, undefined, setup.owner.token)).status).toBe(404);
    expect((await create(server.url, database.name)).status).toBe(409);
    expect(await engine.hasDatabase(database.name)).toBe(true);
    await setup.finishPending();
    expect(await engine.hasDatabase(database.name)).toBe(false);
    expect(await engine.hasUser(database.username)).toBe(false);
    expect((await create(server.url, database.name)).status).toBe(201);
  });

  test('the databases of a deleted server are dropped, each by one of two panels', async () => {
    const server = await setup.createServer();
    const made = await Promise.all(
      Array.from({ length: 4 }, async () => (await create(server.url, setup.name())).body.data),
    );
    await setup.panel.context.database.prisma.server.delete({ where: { id: server.id } });
    const other = await startPanel({ database: setup.panel.database });
    const counts = await Promise.all([setup.finishPending(), setup.finishPending(other)]);
    await other.close();
    expect(counts[0] + counts[1]).toBe(made.length);
    for (const { name, username } of made) {
      expect(await engine.hasDatabase(name)).toBe(false);
      expect(await engine.hasUser(username)).toBe(false);
    }
  });

  test('each change is in the audit log, and no password is there, in the log or in the stored row', async () => {
    const { panel, owner } = setup;
    const { server, url, database } = await createDatabase();
    const rotated = await panel.post(`${url}/rotate`, undefined, owner.token);
    await panel.delete(url, owner.token);
    const { prisma } = panel.context.database;
    const audit = await prisma.auditLog.findMany({ where: { serverId: server.id }, orderBy: { id: 'asc' } });
    expect(audit.map(({ action }) => action)).toEqual([
      'database.create',
      'database.rotate',
      'database.delete',
    ]);
    expect(audit[0]).toMatchObject({
      userId: owner.id,
      resourceType: 'database',
      resourceId: database.id,
      metadata: { serverName: 'a server', name: database.name, hostName: setup.host.name },
    });
    const everything =
      setup.logged.join('\n') +
      JSON.stringify(await prisma.auditLog.findMany(), (_, value) =>
        typeof value === 'bigint' ? '' : value,
      ) +
      JSON.stringify([await prisma.serverDatabase.findMany(), await prisma.databaseHost.findMany()]);
    expect(everything).toContain(setup.host.id);
    for (const secret of [database.password, rotated.body.data.password, engine.password]) {
      // The panel's account on the tests' MariaDB may have a word as its password.
      if (secret.length > 10) expect(everything).not.toContain(secret);
    }
  });
}
