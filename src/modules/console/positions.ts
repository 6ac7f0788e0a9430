import type { Pool } from 'pg';

/** How far a server's console has been stored. */
export interface Position {
  serverId: string;
  nodeId: string;
  seq: number;
  microseconds: number;
}

const MAKE = `
  INSERT INTO "ServerConsole" ("serverId", "lastAt")
  SELECT "id", to_timestamp(0) FROM "Server" WHERE "id" = ANY($1)
  ON CONFLICT DO NOTHING`;

/** Larger numbers are not exact any more, and refused by whoever is given them. */
const LAST_SEQ = `least("lastSeq", ${Number.MAX_SAFE_INTEGER})::text AS "seq"`;

const LOAD = `
  SELECT c."serverId", s."nodeId", ${LAST_SEQ},
    (extract(epoch FROM c."lastAt") * 1000000)::bigint::text AS "microseconds"
  FROM "ServerConsole" c JOIN "Server" s ON s."id" = c."serverId"
  WHERE c."serverId" = ANY($1)`;

/** Of the servers that there are; a server that never said anything is at 0. */
export async function loadPositions(pool: Pool, serverIds: readonly string[]): Promise<Position[]> {
  await pool.query(MAKE, [serverIds]);
  const { rows } = await pool.query<Record<keyof Position, string>>(LOAD, [serverIds]);
  return rows.map(({ serverId, nodeId, seq, microseconds }) => ({
    serverId,
    nodeId,
    seq: Number(seq),
    microseconds: Number(microseconds),
  }));
}

/** The number of the last stored line; 0 when there is none. */
export async function loadLastSeq(pool: Pool, serverId: string): Promise<number> {
  const { rows } = await pool.query<{ seq: string }>(
    `SELECT ${LAST_SEQ} FROM "ServerConsole" WHERE "serverId" = $1`,
    [serverId],
  );
  return Number(rows[0]?.seq ?? 0);
}
