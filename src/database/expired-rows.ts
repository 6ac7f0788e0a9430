import type { Pool } from 'pg';
import type { Log } from '../lib/log.js';

/** Children first: a session that goes takes its refresh tokens with it, and may have had one an hour. */
const TABLES = ['RefreshToken', 'Session', 'DeploymentToken'] as const;

/** So long after its end a row still tells somebody who looks what has happened. */
const KEPT_MS = 7 * 24 * 60 * 60_000;
const BATCH_ROWS = 1000;
/** Of one table in one round; what is left then waits for the next. */
const BATCHES_MAX = 50;

/** Deletes sessions, refresh tokens and deployment tokens that expired long ago. A tick; answers how many there were. */
export async function deleteExpiredRows(options: { pool: Pool; now: Date; log: Log }): Promise<number> {
  const { pool, now, log } = options;
  const expiredBefore = new Date(now.getTime() - KEPT_MS);
  let deleted = 0;
  for (const table of TABLES) deleted += await deleteFrom(pool, table, expiredBefore);
  if (deleted > 0) log.info({ deleted }, 'expired sessions and tokens deleted');
  return deleted;
}

/** In small statements, so that none holds up those who sign in meanwhile. */
async function deleteFrom(pool: Pool, table: (typeof TABLES)[number], expiredBefore: Date): Promise<number> {
  let deleted = 0;
  for (let batch = 0; batch < BATCHES_MAX; batch += 1) {
    const { rowCount } = await pool.query(
      `DELETE FROM "${table}" WHERE "id" IN (SELECT "id" FROM "${table}" WHERE "expiresAt" < $1 LIMIT $2)`,
      [expiredBefore, BATCH_ROWS],
    );
    deleted += rowCount ?? 0;
    if ((rowCount ?? 0) < BATCH_ROWS) break;
  }
  return deleted;
}
