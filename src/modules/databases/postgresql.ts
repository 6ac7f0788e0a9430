import pg from 'pg';
import { HostFailure, needing, postgresqlFailure } from './failure.js';
import { scramVerifier } from './scram.js';
import type { Account, HostSession, HostSettings, Line } from './session.js';

/** What the panel connects to: DROP DATABASE cannot be said inside of the database. */
const MAINTENANCE_DATABASE = 'postgres';
/** The first whose public schema belongs to the owner of the database. */
const OLDEST_VERSION = 150_000;
/** Since then membership does not say by itself whether one may act as the role. */
const EXPLICIT_MEMBERSHIP_VERSION = 160_000;
const STATEMENT_TIMEOUT_MS = 15_000;

type Row = Record<string, unknown>;
type Run = (sql: string, values?: unknown[]) => Promise<Row[]>;

export async function openPostgresql(settings: HostSettings, line: Line): Promise<HostSession> {
  const maintenance = await connect(settings, line, MAINTENANCE_DATABASE);
  const { run } = maintenance;
  const server = await describeServer(run);

  /** The account acts with the rights of the roles that it makes: to give them databases and to drop those. */
  async function join(username: string): Promise<void> {
    if (server.isSuperuser) return;
    const options = server.version >= EXPLICIT_MEMBERSHIP_VERSION ? ' WITH INHERIT TRUE, SET TRUE' : '';
    await run(`GRANT ${quote(username)} TO CURRENT_USER${options}`);
  }

  async function roleExists(username: string): Promise<boolean> {
    return (await run('SELECT 1 FROM pg_roles WHERE rolname = $1', [username])).length > 0;
  }

  async function dropUser({ username }: Account): Promise<void> {
    if (!(await roleExists(username))) return;
    await join(username);
    await endConnections(run, username);
    for (const database of await databasesWith(run, username)) {
      const inside = await connect(settings, line, database);
      // What everybody may make there, and what its own users gave to this role, would keep the role alive.
      await inside.run(`DROP OWNED BY ${quote(username)} CASCADE`);
      await inside.close();
    }
    // The same, with what it holds of things that are in no database.
    await run(`DROP OWNED BY ${quote(username)} CASCADE`);
    await run(`DROP ROLE ${quote(username)}`);
  }

  async function remove(account: Account): Promise<boolean> {
    const { name, username } = account;
    const [database] = await run(
      `SELECT pg_get_userbyid(datdba) AS owner, datistemplate AS "isTemplate" FROM pg_database WHERE datname = $1`,
      [name],
    );
    // Nobody else's database belongs to a role with a random name of ours.
    const isOurs = !database || database.owner === username;
    if (await roleExists(username)) {
      await join(username);
      await run(`ALTER ROLE ${quote(username)} NOLOGIN`);
    }
    if (database && isOurs) {
      await endConnections(run, username);
      // Its owner may say that it is a template, and those are not dropped.
      if (database.isTemplate) await run(`ALTER DATABASE ${quote(name)} IS_TEMPLATE false`);
      await run(`DROP DATABASE IF EXISTS ${quote(name)} WITH (FORCE)`);
    }
    await dropUser(account);
    return isOurs;
  }

  return {
    dropUser,
    remove,

    async inspect() {
      if (server.version < OLDEST_VERSION) {
        throw new HostFailure('refused', `PostgreSQL 15 or newer is needed, this is ${server.versionName}`);
      }
      if (!server.mayCreateRoles) {
        throw new HostFailure('denied', 'the account may not create roles (CREATEROLE)');
      }
      if (!server.mayCreateDatabases) {
        throw new HostFailure('denied', 'the account may not create databases (CREATEDB)');
      }
      return server.versionName;
    },

    async requireAbsent({ name, username }) {
      const rows = await run(
        `SELECT 1 FROM pg_database WHERE lower(datname) = lower($1)
         UNION ALL SELECT 1 FROM pg_roles WHERE rolname = $2`,
        [name, username],
      );
      if (rows.length > 0) throw new HostFailure('taken', 'the name exists on the host');
    },

    async createUser({ username, password, maxConnections }) {
      // INHERIT, though it is in no role: up to version 15 the public schema is the owner's only by inheriting.
      const sql = `CREATE ROLE ${quote(username)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
        INHERIT CONNECTION LIMIT ${maxConnections} PASSWORD ${pg.escapeLiteral(scramVerifier(password))}`;
      await needing('create roles (CREATEROLE)', run(sql));
      await needing('act as a role that it has made', join(username));
    },

    async createDatabase({ name, username }) {
      // From template0, which nobody can have put anything into; closed until it is nobody else's.
      const sql = `CREATE DATABASE ${quote(name)} OWNER ${quote(username)} TEMPLATE template0 CONNECTION LIMIT 0`;
      await needing('create databases (CREATEDB)', run(sql));
    },

    async grant({ name }) {
      await run(`REVOKE ALL ON DATABASE ${quote(name)} FROM PUBLIC`);
      await run(`ALTER DATABASE ${quote(name)} CONNECTION LIMIT -1`);
      const inside = await connect(settings, line, name);
      await inside.run('REVOKE ALL ON SCHEMA public FROM PUBLIC');
      await inside.close();
    },

    async setPassword({ username, password }) {
      await join(username);
      await run(`ALTER ROLE ${quote(username)} PASSWORD ${pg.escapeLiteral(scramVerifier(password))}`);
      await endConnections(run, username);
    },

    discard: remove,

    close: maintenance.close,
  };
}

async function connect(settings: HostSettings, line: Line, database: string) {
  const { host, port, username, password, useTls } = settings;
  const client = new pg.Client({
    host,
    port,
    user: username,
    password,
    database,
    stream: () => line.dial(),
    ssl: useTls ? { rejectUnauthorized: true } : false,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: STATEMENT_TIMEOUT_MS,
    application_name: 'catalyst',
    // Nothing that users of the host have put into a public schema is ever meant.
    options: '-c search_path=pg_catalog',
  });
  // Queries are told of a lost connection themselves.
  client.on('error', () => {});
  const run: Run = async (sql, values) => {
    line.requireTime();
    try {
      const { rows } = await client.query<Row>(sql, values);
      return rows;
    } catch (error) {
      throw postgresqlFailure(error);
    }
  };
  try {
    await client.connect();
  } catch (error) {
    throw postgresqlFailure(error);
  }
  return { run, close: () => client.end() };
}

async function describeServer(run: Run) {
  const [found] = await run(
    `SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS name,
       rolsuper, rolcreaterole, rolcreatedb
     FROM pg_roles WHERE rolname = current_user`,
  );
  const isSuperuser = found?.rolsuper === true;
  return {
    version: Number(found?.version),
    versionName: String(found?.name),
    isSuperuser,
    mayCreateRoles: isSuperuser || found?.rolcreaterole === true,
    mayCreateDatabases: isSuperuser || found?.rolcreatedb === true,
  };
}

async function endConnections(run: Run, username: string): Promise<void> {
  await run('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [username]);
}

/** Other databases in which the role owns something or may do something. */
async function databasesWith(run: Run, username: string): Promise<string[]> {
  const rows = await run(
    `SELECT DISTINCT d.datname AS name
     FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid JOIN pg_roles r ON r.oid = s.refobjid
     WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = $1 AND d.datname <> current_database()`,
    [username],
  );
  return rows.map(({ name }) => String(name));
}

function quote(name: string): string {
  return pg.escapeIdentifier(name);
}
