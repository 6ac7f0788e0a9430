import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { postgresqlEngine } from '../helpers/database-engines.js';
import { type DatabaseSetup, setUpDatabases } from '../helpers/database-setup.js';
import { testDatabases } from './database-cases.js';

describe('on PostgreSQL, for an account that is no superuser', () => {
  let drop = async () => {};
  testDatabases(async () => {
    const engine = await postgresqlEngine();
    drop = engine.drop;
    return engine;
  });
  afterAll(() => drop());
});

describe('on PostgreSQL only', () => {
  let engine: Awaited<ReturnType<typeof postgresqlEngine>>;
  let setup: DatabaseSetup;
  beforeAll(async () => {
    engine = await postgresqlEngine();
    setup = await setUpDatabases(engine);
  });
  afterAll(async () => {
    await setup?.close();
    await engine?.drop();
  });

  async function create() {
    const { url } = await setup.createServer();
    const { body } = await setup.panel.post(
      url,
      { name: setup.name(), hostId: setup.host.id },
      setup.owner.token,
    );
    return { url: `${url}/${body.data.id}`, database: body.data };
  }

  test('the role may do nothing but log in, and everybody else is out of its database', async () => {
    const { database } = await create();
    const [role] = await engine.operate(
      `SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconnlimit
       FROM pg_roles WHERE rolname = '${database.username}'`,
    );
    expect(role).toEqual({
      rolsuper: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolreplication: false,
      rolbypassrls: false,
      rolconnlimit: 20,
    });
    const [stored] = await engine.operate(
      `SELECT pg_get_userbyid(datdba) AS owner, datconnlimit, has_database_privilege('public', oid, 'CONNECT') AS open
       FROM pg_database WHERE datname = '${database.name}'`,
    );
    expect(stored).toEqual({ owner: database.username, datconnlimit: -1, open: false });
    const session = await setup.login(database);
    const [schema] = await session.query(
      `SELECT has_schema_privilege('public', 'public', 'USAGE') AS open, current_setting('search_path') AS path`,
    );
    expect(schema).toEqual({ open: false, path: '"$user", public' });
    await session.query('CREATE TABLE public.players (id int)');
    await session.query('CREATE SCHEMA game');
    await session.end();
    const outside = await setup.login({ ...database, name: 'postgres' });
    await expect(outside.query('CREATE TABLE public.mine (id int)')).rejects.toThrow(/permission denied/);
    await outside.end();
  });

  test('a role that was given something elsewhere is dropped all the same', async () => {
    const { url, database } = await create();
    await engine.operate(`CREATE SCHEMA for_${database.username} AUTHORIZATION ${database.username}`);
    const outside = await setup.login({ ...database, name: 'postgres' });
    expect((await setup.panel.delete(url, setup.owner.token)).status).toBe(200);
    await outside.ended;
    expect(await engine.hasUser(database.username)).toBe(false);
  });

  test('what it has left in other databases, and what others gave it there, does not keep a role', async () => {
    const { url, database } = await create();
    const { database: foreign } = await create();
    for (const name of ['postgres', 'template1']) {
      const outside = await setup.login({ ...database, name });
      await outside.query('SELECT lo_create(0)');
      await outside.end();
    }
    const stranger = await setup.login(foreign);
    await stranger.query('CREATE TABLE trap (id int)');
    await stranger.query(`GRANT SELECT ON trap TO ${database.username}`);
    await stranger.query(`GRANT ALL ON DATABASE ${foreign.name} TO ${database.username}`);
    const guest = await setup.login({ ...database, name: foreign.name });
    await guest.query('CREATE SCHEMA of_the_guest');
    await guest.end();
    await stranger.end();
    expect((await setup.panel.delete(url, setup.owner.token)).status).toBe(200);
    expect(await engine.hasUser(database.username)).toBe(false);
    expect(await setup.rows({ id: database.id })).toEqual([]);
    const still = await setup.login(foreign);
    expect(await still.query('SELECT * FROM trap')).toEqual([]);
    await still.end();
  });

  test('a database that its owner has made a template is dropped all the same', async () => {
    const { url, database } = await create();
    const session = await setup.login(database);
    await session.query(`ALTER DATABASE ${database.name} IS_TEMPLATE true`);
    expect((await setup.panel.delete(url, setup.owner.token)).status).toBe(200);
    expect(await engine.hasDatabase(database.name)).toBe(false);
    expect(await engine.hasUser(database.username)).toBe(false);
    expect(await setup.rows({ id: database.id })).toEqual([]);
  });
});
