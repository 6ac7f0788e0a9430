import type pg from 'pg';
import type { Log } from '../lib/log.js';
import { inTransaction } from '../lib/transaction.js';

/** Tables of the schema `history`, cut by their column `at` into one partition a UTC day. */
const TABLES = { server_logs: 'logs', server_metrics: 'metrics', node_metrics: 'metrics' } as const;

/** Clocks of agents may be behind, and events of last night arrive in the morning. */
const DAYS_BACK = 1;
/** A panel whose maintenance fails for days still finds somewhere to write. */
const DAYS_AHEAD = 7;
/** Any fixed number of our own: of several instances one works, the others wait. */
const MAINTENANCE_LOCK = 4_821_001;
/** Making or dropping a partition locks the whole table; rather later than everybody waiting behind a slow reader. */
const LOCK_TIMEOUT_MS = 2000;

export interface RetentionDays {
  logs: number;
  metrics: number;
}

/** What is to be done at start and every hour. */
export async function maintainPartitions(options: {
  pool: pg.Pool;
  now: Date;
  retentionDays: RetentionDays;
  log: Log;
}): Promise<void> {
  const { pool, now, retentionDays, log } = options;
  const created = await ensurePartitions(pool, now);
  const dropped = await dropExpiredPartitions(pool, now, retentionDays);
  if (created.length > 0 || dropped.length > 0)
    log.info({ created: created.length, dropped }, 'history partitions maintained');
}

/**
 * Make the missing partitions from yesterday to a week ahead. A row outside of them is refused by PostgreSQL.
 * Answers the names of what it made.
 */
export async function ensurePartitions(
  pool: pg.Pool,
  now: Date,
  { daysBack = DAYS_BACK } = {},
): Promise<string[]> {
  const days = Array.from({ length: daysBack + 1 + DAYS_AHEAD }, (_, index) =>
    addDays(now, index - daysBack),
  );
  return underLock(pool, async (client) => {
    const existing = new Set((await listPartitions(client)).map(({ name }) => name));
    const created: string[] = [];
    for (const table of Object.keys(TABLES)) {
      for (const day of days) {
        const name = `${table}_${dayName(day)}`;
        if (existing.has(name)) continue;
        await client.query(
          `CREATE TABLE history.${name} PARTITION OF history.${table}
           FOR VALUES FROM ('${day.toISOString()}') TO ('${addDays(day, 1).toISOString()}')`,
        );
        created.push(name);
      }
    }
    return created;
  });
}

/** Drop every partition whose youngest possible row is past its retention. Answers the names of what it dropped. */
export async function dropExpiredPartitions(
  pool: pg.Pool,
  now: Date,
  retentionDays: RetentionDays,
): Promise<string[]> {
  return underLock(pool, async (client) => {
    const expired = (await listPartitions(client)).filter(({ table, day }) => {
      return addDays(day, 1 + retentionDays[TABLES[table]]) <= now;
    });
    for (const { name } of expired) await client.query(`DROP TABLE history.${name}`);
    return expired.map(({ name }) => name);
  });
}

interface Partition {
  name: string;
  table: keyof typeof TABLES;
  day: Date;
}

async function listPartitions(client: pg.PoolClient): Promise<Partition[]> {
  const { rows } = await client.query<{ name: string; table: keyof typeof TABLES }>(
    `SELECT child.relname AS name, parent.relname AS "table"
     FROM pg_inherits
       JOIN pg_class child ON child.oid = inhrelid
       JOIN pg_class parent ON parent.oid = inhparent
       JOIN pg_namespace ON pg_namespace.oid = parent.relnamespace
     WHERE nspname = 'history' AND parent.relname = ANY($1)
       AND starts_with(child.relname, parent.relname || '_') AND child.relname ~ '_[0-9]{8}$'
     ORDER BY child.relname`,
    [Object.keys(TABLES)],
  );
  return rows.map(({ name, table }) => ({ name, table, day: parseDay(name.slice(-8)) }));
}

function underLock<Result>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
  return inTransaction(pool, async (client) => {
    await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await client.query('SELECT pg_advisory_xact_lock($1)', [MAINTENANCE_LOCK]);
    return work(client);
  });
}

/** The first moment, in UTC, of the day so many days later. */
function addDays(time: Date, days: number): Date {
  return new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth(), time.getUTCDate() + days));
}

function dayName(day: Date): string {
  return day.toISOString().slice(0, 10).replaceAll('-', '');
}

function parseDay(name: string): Date {
  return new Date(`${name.slice(0, 4)}-${name.slice(4, 6)}-${name.slice(6)}T00:00:00Z`);
}
