import type { Pool } from 'pg';
import type { Log } from '../lib/log.js';

/** Children first: a session that goes takes its refresh tokens with it, and may have had one an hour. */
const TABLES = ['RefreshToken', 'Session', 'TwoFactorTicket', 'DeploymentToken'] as const;

const DAY_MS = 24 * 60 * 60_000;
/** So long after its end a row still tells somebody who looks what has happened. */
const KEPT_MS = 7 * DAY_MS;
const BATCH_ROWS = 1000;
/** Of one table in one round; what is left then waits for the next. */
const BATCHES_MAX = 50;

export interface DeleteExpiredRowsOptions {
  pool: Pool;
  now: Date;
  auditRetentionDays: number;
  log: Log;
}

/**
 * Deletes sessions and tokens that expired long ago, and what the audit log has no longer to know. A tick; answers how
 * many rows there were.
 */
export async function deleteExpiredRows(options: DeleteExpiredRowsOptions): Promise<number> {
  const { pool, now, auditRetentionDays, log } = options;
  const expiredBefore = new Date(now.getTime() - KEPT_MS);
  const auditedBefore = new Date(now.getTime() - auditRetentionDays * DAY_MS);
  let deleted = 0;
  for (const table of TABLES)
    deleted += await deleteFrom(pool, { table, column: 'expiresAt', before: expiredBefore });
  deleted += await deleteFrom(pool, { table: 'AuditLog', column: 'createdAt', before: auditedBefore });
  if (deleted > 0) log.info({ deleted }, 'expired rows deleted');
  return deleted;
}

interface OldRows {
  table: (typeof TABLES)[number] | 'AuditLog';
  column: 'expiresAt' | 'createdAt';
  before: Date;
}

/** In small statements, so that none holds up those who sign in meanwhile. */
async function deleteFrom(pool: Pool, { table, column, before }: OldRows): Promise<number> {
  let deleted = 0;
  for (let batch = 0; batch < BATCHES_MAX; batch += 1) {
    const { rowCount } = await pool.query(
      `DELETE FROM "${table}" WHERE "id" IN (SELECT "id" FROM "${table}" WHERE "${column}" < $1 LIMIT $2)`,
      [before, BATCH_ROWS],
    );
    deleted += rowCount ?? 0;
    if ((rowCount ?? 0) < BATCH_ROWS) break;
  }
  return deleted;
}
