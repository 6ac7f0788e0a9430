import type { Pool } from 'pg';

/** A right on a server by which somebody watches it. */
export interface NeededRight {
  userId: string;
  serverId: string;
  permission: 'server.read' | 'server.logs.read' | 'file.read';
}

/** Looked up by one statement; it takes some 50 ms. */
const LOOKED_UP_MAX = 10_000;

const FIND = `
  SELECT DISTINCT needed."userId"
  FROM unnest($1::text[], $2::text[], $3::text[]) AS needed("userId", "serverId", "permission")
    CROSS JOIN LATERAL (
      SELECT ARRAY[needed."permission", split_part(needed."permission", '.', 1) || '.*', '*'] AS "wanted"
    ) AS any_of
  WHERE NOT EXISTS (
    SELECT FROM "Server" s
    WHERE s."id" = needed."serverId" AND (
      s."ownerId" = needed."userId"
      OR EXISTS (SELECT FROM "ServerAccess" a
        WHERE a."serverId" = s."id" AND a."userId" = needed."userId" AND a."permissions" && "wanted")
      OR EXISTS (SELECT FROM "UserRole" ur JOIN "Role" r ON r."id" = ur."roleId"
        WHERE ur."userId" = needed."userId" AND r."permissions" && "wanted")
    )
  )`;

/** The users who no longer have one of these rights. */
export async function findUsersWithLostRights(
  pool: Pool,
  needed: readonly NeededRight[],
): Promise<Set<string>> {
  const found = new Set<string>();
  for (let start = 0; start < needed.length; start += LOOKED_UP_MAX) {
    const part = needed.slice(start, start + LOOKED_UP_MAX);
    const { rows } = await pool.query<{ userId: string }>({
      name: 'lost-rights',
      text: FIND,
      values: [
        part.map(({ userId }) => userId),
        part.map(({ serverId }) => serverId),
        part.map(({ permission }) => permission),
      ],
    });
    for (const { userId } of rows) found.add(userId);
  }
  return found;
}
