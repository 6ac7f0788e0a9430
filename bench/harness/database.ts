import { randomBytes } from 'node:crypto';
import path from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { startEmbedded } from '../../src/database/embedded.js';

const POOL_SIZE = 4;

export interface DatabaseServer {
  /** "PostgreSQL 18.4 (embedded)" */
  description: string;
  createDatabase(): Promise<BenchDatabase>;
  stop(): Promise<void>;
}

export interface BenchDatabase {
  url: string;
  pool: pg.Pool;
  drop(): Promise<void>;
}

/** The server of BENCH_DATABASE_URL, or an embedded one of our own, exactly as `npm start` runs it. */
export async function startDatabaseServer(directory: string): Promise<DatabaseServer> {
  const given = process.env.BENCH_DATABASE_URL;
  const embedded = given
    ? null
    : await startEmbedded({ dataDir: path.join(directory, 'database'), log: pino({ level: 'warn' }) });
  const serverUrl = given ?? embedded?.url ?? '';
  const pool = openPool(serverUrl);
  const { rows } = await pool.query<{ server_version: string }>('SHOW server_version');
  return {
    description: `PostgreSQL ${rows[0]?.server_version} (${given ? 'BENCH_DATABASE_URL' : 'embedded'})`,
    createDatabase: () => createDatabase(pool, serverUrl),
    async stop() {
      await pool.end();
      await embedded?.stop();
    },
  };
}

async function createDatabase(server: pg.Pool, serverUrl: string): Promise<BenchDatabase> {
  const name = `catalyst_bench_${randomBytes(6).toString('hex')}`;
  await server.query(`CREATE DATABASE ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const pool = openPool(url.href);
  return {
    url: url.href,
    pool,
    async drop() {
      await pool.end();
      await server.query(`DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: POOL_SIZE });
  // `end` does not wait for connections to be closed: some meet the end of their database or server.
  pool.on('error', () => {});
  return pool;
}
