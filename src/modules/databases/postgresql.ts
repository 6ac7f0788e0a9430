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
    // What everybody may make in the maintenance database would keep the role alive.
    await run(`DROP OWNED BY ${quote(username)}`);
    await run(`DROP ROLE ${quote(username)}`);
  }

  async function remove(account: Account): Promise<void> {
    if (await roleExists(account.username)) {
      await join(account.username);
      await run(`ALTER ROLE ${quote(account.username)} NOLOGIN`);
    }
    await run(`DROP DATABASE IF EXISTS ${quote(account.name)} WITH (FORCE)`);
    await dropUser(account);
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

    async discard(account) {
      const [database] = await run(
        'SELECT pg_get_userbyid(datdba) AS owner FROM pg_database WHERE datname = $1',
        [account.name],
      );
      // Nobody else's database belongs to a role with a random name of ours.
      const isOurs = !database || database.owner === account.username;
      await (isOurs ? remove(account) : dropUser(account));
      return isOurs;
    },

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

function quote(name: string): string {
  return pg.escapeIdentifier(name);
}
