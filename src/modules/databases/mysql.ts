import { type Connection, createConnection, escapeId, type RowDataPacket } from 'mysql2';
import { HostFailure, mysqlFailure, needing } from './failure.js';
import type { Account, HostSession, HostSettings, Line } from './session.js';

/** So long a statement waits for the locks of others. */
const LOCK_TIMEOUT_SECONDS = 10;

type Row = Record<string, unknown>;
type Run = (sql: string, values?: unknown[]) => Promise<Row[]>;

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
      // The user first: one who is connected could hold the database's locks, or go on writing.
      await dropUser(account);
      await needing('drop databases', run(`DROP DATABASE IF EXISTS ${quote(account.name)}`));
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

/**
 * From where a new user may come. An anonymous user of an installation that was never tidied up hides whoever may come
 * from anywhere: for such an address the user needs an entry of its own.
 */
async function newOrigins(run: Run, remote: string): Promise<string[]> {
  if (remote !== '%') return [remote];
  const rows = await readable(run(`SELECT Host AS origin FROM mysql.user WHERE User = '' AND Host <> '%'`));
  return [remote, ...rows.map(({ origin }) => String(origin))];
}

async function existingOrigins(run: Run, username: string, remote: string): Promise<string[]> {
  const rows = await readable(run('SELECT Host AS origin FROM mysql.user WHERE User = ?', [username]));
  return rows.length > 0 ? rows.map(({ origin }) => String(origin)) : [remote];
}

/** Nothing, when the account may not look into the server's own tables. */
async function readable(rows: Promise<Row[]>): Promise<Row[]> {
  return rows.catch((error: unknown) => {
    if (error instanceof HostFailure && error.kind === 'denied') return [];
    throw error;
  });
}

function forEach(origins: string[], user: string): string {
  return origins.map(() => user).join(', ');
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

async function endConnections(run: Run, username: string): Promise<void> {
  const processes = await run('SHOW PROCESSLIST');
  for (const { Id: id } of processes.filter(({ User: user }) => user === username)) {
    try {
      await needing('end connections', run('KILL ?', [id]));
    } catch (error) {
      // It has ended by itself.
      if (!(error instanceof HostFailure) || !error.message.startsWith('ER_NO_SUCH_THREAD')) throw error;
    }
  }
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
