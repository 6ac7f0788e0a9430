import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import type { TestProject } from 'vitest/node';
import { build } from '../../scripts/build.mjs';
import { startEmbedded } from '../../src/database/embedded.js';
import { migrate } from '../../src/database/migrate.js';
import { ensurePartitions } from '../../src/database/partitions.js';
import type { Log } from '../../src/lib/log.js';

/** What every test database is a copy of: migrated, with partitions, without rows. */
const TEMPLATE_DATABASE = 'catalyst_template';

const DIRECTORY_PREFIX = 'catalyst-test-';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Of the run's PostgreSQL server; `createTestDatabase` makes databases on it. */
    databaseServerUrl: string;
    templateDatabase: string;
  }
}

/** One PostgreSQL server for the whole run, removed with everything in it at the end. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Tests that start processes start them from dist/.
  await build();
  removeLeftovers();
  const dataDir = mkdtempSync(path.join(tmpdir(), `${DIRECTORY_PREFIX}${process.pid}-`));
  const log = pino({ level: 'warn' });
  const embedded = await startEmbedded({ dataDir, log });
  async function teardown(): Promise<void> {
    await embedded.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
  try {
    await makeTemplate(embedded.url, log);
  } catch (error) {
    await teardown();
    throw error;
  }
  project.provide('databaseServerUrl', embedded.url);
  project.provide('templateDatabase', TEMPLATE_DATABASE);
  return teardown;
}

async function makeTemplate(serverUrl: string, log: Log): Promise<void> {
  const server = new pg.Client({ connectionString: serverUrl });
  await server.connect();
  // Rows of tests need not survive a power cut.
  await server.query('ALTER SYSTEM SET fsync = off');
  await server.query('SELECT pg_reload_conf()');
  await server.query(`CREATE DATABASE ${TEMPLATE_DATABASE}`);
  await server.end();
  const url = new URL(serverUrl);
  url.pathname = TEMPLATE_DATABASE;
  await migrate({ url: url.href, directory: 'prisma/migrations', log });
  const pool = new pg.Pool({ connectionString: url.href });
  await ensurePartitions(pool, new Date());
  await pool.end();
}

/** A run that was killed could not clean up after itself. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = new RegExp(`^${DIRECTORY_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (!owner || existsSync(`/proc/${owner}`)) continue;
    const directory = path.join(tmpdir(), name);
    const pidFile = path.join(directory, 'postgres/data/postmaster.pid');
    if (existsSync(pidFile)) {
      const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);
      if (isServer(pid, directory)) process.kill(pid, 'SIGQUIT');
    }
    rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
  }
}

function isServer(pid: number, directory: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory);
  } catch {
    return false;
  }
}
