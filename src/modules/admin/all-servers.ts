import type { Pool } from 'pg';
import { escapeLike } from '../../lib/like.js';
import type { Page } from '../../lib/schemas.js';
import { CPU_USAGE, MEMORY_USAGE, SHOWN_STATUS } from '../../lib/server-status.js';
import type { Nodes } from '../nodes/service.js';
import type { AnyServer, ListAllServersQuery } from './schemas.js';

/** One row even for a page without servers, so that the total is always there. */
const LIST = `
  WITH found AS (
    SELECT s."id", s."createdAt" FROM "Server" s
    WHERE ($1::text IS NULL OR ${SHOWN_STATUS} = $1)
      AND ($2::text IS NULL OR s."nodeId" = $2)
      AND ($3::text IS NULL OR s."ownerId" = $3)
      AND ($4::text IS NULL OR s."id" = $4 OR s."uuid"::text = lower($4) OR s."name" ILIKE $5
        OR EXISTS (SELECT FROM "User" u WHERE u."id" = s."ownerId" AND u."usernameKey" LIKE lower($5)))
  )
  SELECT counted."total", page.*
  FROM (SELECT count(*)::int AS "total" FROM found) counted
  LEFT JOIN (
    SELECT s."id", s."uuid", s."name",
      json_build_object('id', u."id", 'username', u."username") AS "owner",
      json_build_object('id', n."id", 'name', n."name") AS "node",
      n."isOnline" AS "nodeIsOnline", n."lastSeenAt" AS "nodeLastSeenAt", ${SHOWN_STATUS} AS "status",
      s."allocatedMemoryMb", s."allocatedCpuCores", s."allocatedDiskMb",
      ${CPU_USAGE} AS "cpuUsage", ${MEMORY_USAGE} AS "memoryUsageMb",
      s."createdAt"
    FROM (SELECT "id" FROM found ORDER BY "createdAt", "id" LIMIT $6 OFFSET $7) chosen
    JOIN "Server" s ON s."id" = chosen."id"
    JOIN "Node" n ON n."id" = s."nodeId"
    JOIN "User" u ON u."id" = s."ownerId"
  ) page ON true
  ORDER BY page."createdAt", page."id"`;

type Row = Omit<AnyServer, 'statusStale'> & {
  id: string | null;
  total: number;
  nodeIsOnline: boolean;
  nodeLastSeenAt: Date | null;
};

/** Everybody's servers, oldest first. */
export async function listAllServers(
  { pool, nodes }: { pool: Pool; nodes: Pick<Nodes, 'isOnline'> },
  { status, nodeId, ownerId, search, page, limit }: ListAllServersQuery,
): Promise<Page<AnyServer>> {
  const { rows } = await pool.query<Row>({
    name: 'admin-servers',
    text: LIST,
    values: [
      status ?? null,
      nodeId ?? null,
      ownerId ?? null,
      search || null,
      search ? `%${escapeLike(search)}%` : null,
      limit,
      (page - 1) * limit,
    ],
  });
  const items = rows
    .filter((row) => row.id !== null)
    .map(({ total, nodeIsOnline, nodeLastSeenAt, ...server }) => ({
      ...server,
      statusStale: !nodes.isOnline({ isOnline: nodeIsOnline, lastSeenAt: nodeLastSeenAt }),
    }));
  return { items, total: rows[0]?.total ?? 0 };
}
