import type { Pool } from 'pg';
import { escapeLike } from '../../lib/like.js';

/** The few actions that there are among many rows: from one to the next by the index. */
const FIND = `
  WITH RECURSIVE found("action") AS (
    (SELECT "action" FROM "AuditLog" ORDER BY "action" LIMIT 1)
    UNION ALL
    SELECT (SELECT a."action" FROM "AuditLog" a WHERE a."action" > found."action" ORDER BY a."action" LIMIT 1)
    FROM found WHERE found."action" IS NOT NULL
  )
  SELECT "action" FROM found WHERE "action" LIKE $1`;

/** The actions in the log that a filter means: itself, or for `server.*` every one of them. */
export async function findActions(pool: Pool, filter: string): Promise<string[]> {
  if (!filter.endsWith('.*')) return [filter];
  const { rows } = await pool.query<{ action: string }>(FIND, [`${escapeLike(filter.slice(0, -1))}%`]);
  return rows.map(({ action }) => action);
}
