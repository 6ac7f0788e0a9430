import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { isDatabaseUnavailable } from '../lib/database-errors.js';
import type { Log } from '../lib/log.js';

/** The key of the advisory lock that Prisma Migrate takes. */
const PRISMA_LOCK = 72_707_369;
const CONNECT_TIMEOUT_MS = 5000;
const CONNECT_RETRY_INTERVAL_MS = 1000;
const REACHABLE_TIMEOUT_MS = 30_000;
/** Another instance's migrations may take long on a big database. */
const LOCK_TIMEOUT_MS = 10 * 60_000;

/** As Prisma makes it. */
const TABLE = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
)`;

export interface MigrateOptions {
  url: string;
  /** With one directory a migration, each with a `migration.sql`. */
  directory: string;
  log: Log;
  reachableTimeoutMs?: number;
}

interface Migration {
  name: string;
  script: string;
  checksum: string;
}

/**
 * Bring the database to the newest version: what `prisma migrate deploy` does, with the same table, checksums and
 * lock, but without Prisma's schema engine. Any number of instances may call it at once; one applies, the others wait.
 * Waits for a database that cannot be reached yet. Answers the names of what it applied.
 */
export async function migrate(options: MigrateOptions): Promise<string[]> {
  const { directory, log } = options;
  const migrations = await readMigrations(directory);
  const client = await connect(options);
  try {
    await client.query(`SET lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await lock(client);
    await client.query(TABLE);
    const pending = findPending(migrations, await readApplied(client), log);
    for (const migration of pending) {
      await apply(client, migration);
      log.info({ migration: migration.name }, 'migration applied');
    }
    return pending.map((migration) => migration.name);
  } finally {
    // Ends the lock too.
    await client.end();
  }
}

async function connect({
  url,
  log,
  reachableTimeoutMs = REACHABLE_TIMEOUT_MS,
}: MigrateOptions): Promise<pg.Client> {
  const deadline = Date.now() + reachableTimeoutMs;
  for (;;) {
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    });
    // An error between two queries is also what the next query fails with.
    client.on('error', () => {});
    try {
      await client.connect();
      return client;
    } catch (error) {
      await client.end().catch(() => {});
      const { message } = error as Error;
      if (!isDatabaseUnavailable(error))
        throw new Error(`The database refuses us: ${message}`, { cause: error });
      if (Date.now() + CONNECT_RETRY_INTERVAL_MS > deadline) {
        throw new Error(
          `The database does not answer: ${describe(error)}. Check that PostgreSQL runs and that DATABASE_URL is right.`,
          { cause: error },
        );
      }
      log.warn({ reason: describe(error) }, 'waiting for the database');
      await delay(CONNECT_RETRY_INTERVAL_MS);
    }
  }
}

/** Node reports several refused addresses as one error without a message. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join(', ');
  return error instanceof Error ? error.message : String(error);
}

async function lock(client: pg.Client): Promise<void> {
  try {
    await client.query('SELECT pg_advisory_lock($1)', [PRISMA_LOCK]);
  } catch (cause) {
    throw new Error(
      `Another instance has been applying migrations for ${LOCK_TIMEOUT_MS / 60_000} minutes: wait for it, or end it.`,
      { cause },
    );
  }
}

async function readMigrations(directory: string): Promise<Migration[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const script = await readFile(path.join(directory, name, 'migration.sql'), 'utf8');
      return { name, script, checksum: createHash('sha256').update(script).digest('hex') };
    }),
  );
}

/** Name → checksum. Throws when Prisma's own tool left one half-way. */
async function readApplied(client: pg.Client): Promise<Map<string, string>> {
  const { rows } = await client.query<{ name: string; checksum: string; isFinished: boolean }>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS "isFinished"
     FROM _prisma_migrations WHERE rolled_back_at IS NULL`,
  );
  const failed = rows.find((row) => !row.isFinished);
  if (failed) {
    throw new Error(
      `The migration ${failed.name} failed at an earlier start: its reason is in the table _prisma_migrations. ` +
        'Put it right, then tell with "npx prisma migrate resolve".',
    );
  }
  return new Map(rows.map((row) => [row.name, row.checksum]));
}

function findPending(migrations: Migration[], applied: Map<string, string>, log: Log): Migration[] {
  for (const { name, checksum } of migrations) {
    if (applied.has(name) && applied.get(name) !== checksum) {
      log.warn({ migration: name }, 'a migration was changed after it had been applied');
    }
  }
  const known = new Set(migrations.map(({ name }) => name));
  const unknown = [...applied.keys()].filter((name) => !known.has(name));
  if (unknown.length > 0) {
    log.warn({ migrations: unknown }, 'the database has migrations of a newer version of Catalyst');
  }
  return migrations.filter(({ name }) => !applied.has(name));
}

/** A migration and the record of it are one transaction: whatever happens, it is applied whole or not at all. */
async function apply(client: pg.Client, { name, script, checksum }: Migration): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(script);
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, now(), 1)`,
      [randomUUID(), checksum, name],
    );
    await client.query('COMMIT');
  } catch (cause) {
    throw new Error(`The migration ${name} failed, nothing of it was applied: ${describe(cause)}`, { cause });
  }
}
