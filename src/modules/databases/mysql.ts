import { type Connection, createConnection, escapeId, type RowDataPacket } from 'mysql2';
import { HostFailure, mysqlFailure, needing } from './failure.js';
import { endConnections, existingOrigins, forEach, newOrigins, type Run } from './mysql-users.js';
import { randomPassword } from './names.js';
import type { Account, HostSession, HostSettings, Line } from './session.js';

/** So long a statement waits for the locks of others. */
const LOCK_TIMEOUT_SECONDS = 10;

/** MySQL and MariaDB. */
export async function openMysql(settings: HostSettings, line: Line): Promise<HostSession> {
  const connection = await connect(settings, line);
  const run: Run = (sql, values = []) => {
    line.requireTime();
    return new Promise((resolve, reject) => {
      connection.query<RowDataPacket[]>({ sql, values }, (error, rows) =>
        error ? reject(mysqlFailure(error)) : resolve(Array.isArray(rows) ? rows : []),
      );
    });
  };
  await run('SET SESSION lock_wait_timeout = ?', [LOCK_TIMEOUT_SECONDS]);

  async function dropUser({ username, remote }: Account): Promise<void> {
    const origins = await existingOrigins(run, username, remote);
    const users = origins.flatMap((origin) => [username, origin]);
    await run(`DROP USER IF EXISTS ${forEach(origins, '?@?')}`, users);
    await endConnections(run, username);
  }

  /** False: there is no such user. */
  async function shutOut({ username, remote }: Account): Promise<boolean> {
    const origins = await existingOrigins(run, username, remote);
    const users = origins.flatMap((origin) => [username, origin]);
    const passwords = origins.flatMap((origin) => [username, origin, randomPassword()]);
    try {
      await run(`ALTER USER ${forEach(origins, '?@? IDENTIFIED BY ?')}`, passwords);
    } catch (error) {
      if (error instanceof HostFailure && error.message.startsWith('ER_CANNOT_USER')) return false;
      throw error;
    }
    await run(`REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${forEach(origins, '?@?')}`, users);
    await endConnections(run, username);
    return true;
  }

  return {
    dropUser,
    inspect: () => inspect(run),

    async requireAbsent({ name, username }) {
      const [found] = await run(
        `SELECT EXISTS (SELECT 1 FROM information_schema.SCHEMATA WHERE LOWER(SCHEMA_NAME) = LOWER(?)) AS hasDatabase,
           EXISTS (SELECT 1 FROM information_schema.USER_PRIVILEGES WHERE GRANTEE LIKE ?) AS hasUser`,
        [name, `'${username}'@%`],
      );
      if (found?.hasDatabase || found?.hasUser) throw new HostFailure('taken', 'the name exists on the host');
      await requirePrivate(run, name);
    },

    async createUser({ username, password, remote, maxConnections }) {
      const origins = await newOrigins(run, remote);
      const users = origins.flatMap((origin) => [username, origin, password]);
      const sql = `CREATE USER ${forEach(origins, '?@? IDENTIFIED BY ?')} WITH MAX_USER_CONNECTIONS ?`;
      await needing('create users', run(sql, [...users, maxConnections]));
    },

    async createDatabase({ name }) {
      await needing('create databases', run(`CREATE DATABASE ${quote(name)}`));
    },

    async grant({ name, username, remote }) {
      const origins = await existingOrigins(run, username, remote);
      const users = origins.flatMap((origin) => [username, origin]);
      const pattern = quote(await grantPattern(run, name));
      const sql = `GRANT ALL PRIVILEGES ON ${pattern}.* TO ${forEach(origins, '?@?')}`;
      await needing('give others all rights on a database (WITH GRANT OPTION)', run(sql, users));
    },

    async setPassword({ username, password, remote }) {
      const origins = await existingOrigins(run, username, remote);
      const users = origins.flatMap((origin) => [username, origin, password]);
      await run(`ALTER USER ${forEach(origins, '?@? IDENTIFIED BY ?')}`, users);
      await endConnections(run, username);
    },

    async remove(account) {
      // Its user marks a database as ours, so it goes last. Until then nobody comes in with it any more, and
      // nothing that it has left running in the database may go on.
      if (!(await shutOut(account))) return !(await hasDatabase(run, account.name));
      await needing('drop databases', run(`DROP DATABASE IF EXISTS ${quote(account.name)}`));
      await dropUser(account);
      return true;
    },

    async discard(account) {
      await dropUser(account);
      // Its user was never told the password, so whatever holds anything is not ours.
      if (await holdsAnything(run, account.name)) return false;
      await run(`DROP DATABASE IF EXISTS ${quote(account.name)}`);
      return true;
    },

    close: () => new Promise((resolve) => connection.end(() => resolve())),
  };
}

async function connect(settings: HostSettings, line: Line): Promise<Connection> {
  const { host, port, username, password, useTls } = settings;
  const connection = createConnection({
    host,
    user: username,
    password,
    stream: () => line.dial().connect(port, host),
    multipleStatements: false,
    // A host must not be able to ask for the panel's files.
    flags: ['-LOCAL_FILES'],
    ...(useTls && { ssl: { rejectUnauthorized: true, verifyIdentity: true } }),
  });
  // Queries are told of a lost connection themselves.
  connection.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    connection.connect((error) => (error ? reject(mysqlFailure(error)) : resolve()));
  });
  return connection;
}

async function inspect(run: Run): Promise<string> {
  const [server] = await run('SELECT VERSION() AS version');
  const rows = await run(
    `SELECT PRIVILEGE_TYPE AS privilege FROM information_schema.USER_PRIVILEGES
     WHERE REPLACE(GRANTEE, '''', '') = CURRENT_USER()`,
  );
  const held = new Set(rows.map(({ privilege }) => String(privilege).replaceAll('_', ' ')));
  if (!held.has('PROCESS')) {
    throw new HostFailure('denied', 'the account may not see the connections of others (PROCESS)');
  }
  if (!held.has('SUPER') && !held.has('CONNECTION ADMIN')) {
    throw new HostFailure(
      'denied',
      'the account may not end the connections of others (CONNECTION ADMIN, or SUPER)',
    );
  }
  return String(server?.version);
}

/** A test installation lets everybody use the database `test` and all that begin with `test_`. */
async function requirePrivate(run: Run, name: string): Promise<void> {
  const sql = `SELECT 1 FROM mysql.db WHERE User IN ('', 'PUBLIC') AND ? LIKE Db LIMIT 1`;
  const isPublic = await run(sql, [name.toLowerCase()]).then(
    (rows) => rows.length > 0,
    (error: unknown) => {
      if (!(error instanceof HostFailure) || error.kind !== 'denied') throw error;
      return /^test(_|$)/i.test(name);
    },
  );
  if (isPublic) {
    throw new HostFailure(
      'public',
      'everybody with an account on this host may use databases of this name. Choose another.',
    );
  }
}

/** In GRANT an underscore stands for any character, unless the server has given that up for partial revokes. */
async function grantPattern(run: Run, name: string): Promise<string> {
  const [setting] = await run(`SHOW GLOBAL VARIABLES LIKE 'partial_revokes'`);
  return setting?.Value === 'ON' ? name : name.replaceAll(/[_%\\]/g, String.raw`\$&`);
}

async function hasDatabase(run: Run, name: string): Promise<boolean> {
  const rows = await run('SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?', [name]);
  return rows.length > 0;
}

async function holdsAnything(run: Run, name: string): Promise<boolean> {
  const [found] = await run(
    `SELECT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?)
       OR EXISTS (SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?)
       OR EXISTS (SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?) AS holdsAnything`,
    [name, name, name],
  );
  return Boolean(found?.holdsAnything);
}

/** Without `true`, a dot would make two names of one. */
function quote(name: string): string {
  return escapeId(name, true);
}
