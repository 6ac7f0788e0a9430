import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { createConnection, escapeId } from 'mysql2';
import pg from 'pg';
import { describe, inject } from 'vitest';

export interface Credentials {
  username: string;
  password: string;
  name: string;
}

export interface EngineSession {
  query(sql: string): Promise<Record<string, unknown>[]>;
  /** Resolves when the server has ended the connection. */
  ended: Promise<void>;
  end(): Promise<void>;
}

/** A real database server of the tests, seen by its operator and by those who have an account on it. */
export interface TestEngine {
  engine: 'mysql' | 'postgresql';
  host: string;
  port: number;
  /** Of the account that the panel is given. */
  username: string;
  password: string;
  /** How its statement that changes a password begins. */
  passwordStatement: string;
  /** As the operator, outside of the panel. */
  operate(sql: string): Promise<Record<string, unknown>[]>;
  /** Throws when the server lets nobody in with them. */
  login(credentials: Credentials): Promise<EngineSession>;
  hasDatabase(name: string): Promise<boolean>;
  hasUser(username: string): Promise<boolean>;
  /** The database of the name is somebody else's now, as on another server. */
  giveAway(account: Credentials): Promise<void>;
  quote(name: string): string;
}

const mysqlUrl = new URL(process.env.TEST_MYSQL_URL ?? 'mysql://panel:panel@127.0.0.1:33306');
const isCi = process.env.CI === 'true';
const hasMysql = await answers(mysqlUrl);
if (!hasMysql && !isCi) console.warn(`no MariaDB answers on ${mysqlUrl.host}: its tests are skipped`);

/** Tests of MariaDB run where one answers. In CI they always run, so that there its absence is a failure. */
export const describeMysql = describe.skipIf(!hasMysql && !isCi);

export function mysqlEngine(): TestEngine {
  const account = {
    host: mysqlUrl.hostname,
    port: Number(mysqlUrl.port),
    username: decodeURIComponent(mysqlUrl.username),
    password: decodeURIComponent(mysqlUrl.password),
  };
  async function operate(sql: string) {
    const session = await openMysql(account, null);
    return session.query(sql).finally(session.end);
  }
  return {
    engine: 'mysql',
    ...account,
    passwordStatement: 'ALTER USER',
    operate,
    login: ({ name, username, password }) => openMysql({ ...account, username, password }, name),
    hasDatabase: async (name) => (await operate(`SHOW DATABASES WHERE \`Database\` = '${name}'`)).length > 0,
    hasUser: async (username) =>
      (await operate(`SELECT 1 FROM mysql.user WHERE User = '${username}'`)).length > 0,
    async giveAway({ username }) {
      for (const { Host: host } of await operate(`SELECT Host FROM mysql.user WHERE User = '${username}'`)) {
        await operate(`DROP USER '${username}'@'${host}'`);
      }
    },
    quote: (name) => escapeId(name, true),
  };
}

/** The run's own PostgreSQL, through an account that may make roles and databases and nothing else. */
export async function postgresqlEngine(): Promise<TestEngine & { drop(): Promise<void> }> {
  const url = new URL(inject('databaseServerUrl'));
  const operator = {
    host: url.hostname,
    port: Number(url.port),
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
  };
  async function operate(sql: string, database = 'postgres') {
    const session = await openPostgresql(operator, database);
    return session.query(sql).finally(session.end);
  }
  const username = `host_admin_${randomBytes(4).toString('hex')}`;
  const password = randomBytes(12).toString('hex');
  await operate(`CREATE ROLE ${username} LOGIN CREATEDB CREATEROLE PASSWORD '${password}'`);
  return {
    engine: 'postgresql',
    ...operator,
    username,
    password,
    passwordStatement: 'ALTER ROLE',
    operate,
    login: (account) =>
      openPostgresql({ ...operator, username: account.username, password: account.password }, account.name),
    hasDatabase: async (name) =>
      (await operate(`SELECT 1 FROM pg_database WHERE datname = '${name}'`)).length > 0,
    hasUser: async (role) => (await operate(`SELECT 1 FROM pg_roles WHERE rolname = '${role}'`)).length > 0,
    giveAway: async ({ name }) =>
      void (await operate(`ALTER DATABASE ${pg.escapeIdentifier(name)} OWNER TO CURRENT_USER`)),
    quote: (name) => pg.escapeIdentifier(name),
    drop: async () => void (await operate(`DROP ROLE ${username}`)),
  };
}

interface Account {
  host: string;
  port: number;
  username: string;
  password: string;
}

function openMysql(
  { host, port, username, password }: Account,
  database: string | null,
): Promise<EngineSession> {
  const connection = createConnection({
    host,
    port,
    user: username,
    password,
    ...(database !== null && { database }),
  });
  connection.on('error', () => {});
  const ended = new Promise<void>((resolve) => connection.on('end', () => resolve()));
  const session: EngineSession = {
    query: (sql) =>
      new Promise((resolve, reject) => {
        connection.query({ sql }, (error, rows) =>
          error ? reject(error) : resolve(Array.isArray(rows) ? (rows as Record<string, unknown>[]) : []),
        );
      }),
    ended,
    end: () => new Promise((resolve) => connection.end(() => resolve())),
  };
  return new Promise((resolve, reject) => {
    connection.connect((error) => (error ? reject(error) : resolve(session)));
  });
}

async function openPostgresql(account: Account, database: string): Promise<EngineSession> {
  const { host, port, username, password } = account;
  const client = new pg.Client({ host, port, user: username, password, database });
  client.on('error', () => {});
  const ended = new Promise<void>((resolve) => client.on('end', () => resolve()));
  await client.connect();
  return { query: async (sql) => (await client.query(sql)).rows, ended, end: () => client.end() };
}

function answers({ hostname, port }: URL): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}
