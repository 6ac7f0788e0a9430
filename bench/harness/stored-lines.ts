import type pg from 'pg';

/** How many of the lines `from`–`to` of a server are in the database, each counted once. */
export async function storedLines(
  pool: pg.Pool,
  serverId: string,
  from: number,
  to: number,
): Promise<number> {
  const { rows } = await pool.query<{ count: string }>(
    `SELECT count(DISTINCT "seq") AS count FROM "history"."server_logs"
     WHERE "serverId" = $1 AND "seq" BETWEEN $2 AND $3`,
    [serverId, from, to],
  );
  return Number(rows[0]?.count);
}

/** The number of a server's last line that the database has, or knows will never come. */
export async function lastStoredSeq(pool: pg.Pool, serverId: string): Promise<number> {
  const { rows } = await pool.query<{ lastSeq: string }>(
    'SELECT "lastSeq" FROM "ServerConsole" WHERE "serverId" = $1',
    [serverId],
  );
  return Number(rows[0]?.lastSeq ?? 0);
}
