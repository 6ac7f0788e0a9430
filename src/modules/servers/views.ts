import type { Pool } from 'pg';
import { type Actor, hasPermission } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { Page } from '../../lib/schemas.js';
import type { Nodes } from '../nodes/service.js';
import type { ListServersQuery, ServerDetail, ServerSummary } from './schemas.js';

export interface ServerViews {
  /** Those that the actor may read, oldest first. */
  list(actor: Actor, query: ListServersQuery): Promise<Page<ServerSummary>>;
  get(actor: Actor, serverId: string): Promise<ServerDetail>;
}

/** $1: whether a role lets the actor read every server; $2: who he is. Members' lists know the two wildcards. */
const READABLE = `($1::boolean OR s."ownerId" = $2 OR EXISTS (
  SELECT FROM "ServerAccess" a
  WHERE a."serverId" = s."id" AND a."userId" = $2 AND a."permissions" && ARRAY['server.read', 'server.*', '*']))`;

/** A server that is down uses nothing, whatever its last sample says. */
const IS_UP = `s."status" IN ('starting', 'running', 'stopping')`;

const SUMMARY = `s."id", s."uuid", s."name", s."description", s."ownerId", s."nodeId", s."templateId",
  CASE WHEN s."suspendedAt" IS NULL THEN s."status"::text ELSE 'suspended' END AS "status",
  n."isOnline" AS "nodeIsOnline", n."lastSeenAt" AS "nodeLastSeenAt", s."allocatedMemoryMb", s."allocatedCpuCores", s."allocatedDiskMb",
  s."primaryPort", s."networkMode", s."containerName",
  CASE WHEN ${IS_UP} THEN coalesce(s."cpuUsage", 0) ELSE 0 END AS "cpuUsage",
  CASE WHEN ${IS_UP} THEN coalesce(s."memoryUsageMb", 0) ELSE 0 END AS "memoryUsageMb",
  s."createdAt", s."updatedAt"`;

/** One row even for a page without servers, so that the total is always there. */
const LIST = `
  WITH visible AS (
    SELECT s."id", s."createdAt" FROM "Server" s
    WHERE ${READABLE}
      AND ($3::text IS NULL OR s."nodeId" = $3)
      AND ($4::text IS NULL OR CASE WHEN s."suspendedAt" IS NULL THEN s."status"::text ELSE 'suspended' END = $4)
  )
  SELECT counted."total", page.*
  FROM (SELECT count(*)::int AS "total" FROM visible) counted
  LEFT JOIN (
    SELECT ${SUMMARY}
    FROM (SELECT "id" FROM visible ORDER BY "createdAt", "id" LIMIT $5 OFFSET $6) chosen
    JOIN "Server" s ON s."id" = chosen."id"
    JOIN "Node" n ON n."id" = s."nodeId"
  ) page ON true
  ORDER BY page."createdAt", page."id"`;

const GET = `
  SELECT ${SUMMARY},
    json_build_object('id', n."id", 'name', n."name", 'hostname', n."hostname") AS "node",
    json_build_object('id', t."id", 'name', t."name", 'dockerImage', t."dockerImage") AS "template",
    s."desiredState", s."statusReason", s."exitCode", s."oomKilled", s."startedAt", s."installedAt", s."environment",
    (SELECT coalesce(json_object_agg(p."containerPort", p."hostPort"), '{}') FROM "Allocation" p
      WHERE p."serverId" = s."id") AS "portBindings",
    s."containerId", coalesce(s."networkSent", 0)::float8 AS "networkSent",
    coalesce(s."networkReceived", 0)::float8 AS "networkReceived", coalesce(s."diskUsageMb", 0) AS "diskUsageMb",
    s."crashCount", s."lastCrashAt", s."restartPolicy"::text, s."maxCrashCount", s."suspendedAt", s."suspensionReason"
  FROM "Server" s
  JOIN "Node" n ON n."id" = s."nodeId"
  JOIN "Template" t ON t."id" = s."templateId"
  WHERE s."id" = $3 AND ${READABLE}`;

interface NodeColumns {
  nodeIsOnline: boolean;
  nodeLastSeenAt: Date | null;
}
type ListRow = Omit<ServerSummary, 'statusStale'> & NodeColumns & { total: number; id: string | null };
type GetRow = Omit<ServerDetail, 'statusStale'> & NodeColumns;

export function createServerViews({
  pool,
  nodes,
}: {
  pool: Pool;
  nodes: Pick<Nodes, 'isOnline'>;
}): ServerViews {
  function present<Row extends NodeColumns>({ nodeIsOnline, nodeLastSeenAt, ...row }: Row) {
    return { ...row, statusStale: !nodes.isOnline({ isOnline: nodeIsOnline, lastSeenAt: nodeLastSeenAt }) };
  }

  return {
    async list(actor, { page, limit, nodeId, status }) {
      const filters = [nodeId ?? null, status ?? null, limit, (page - 1) * limit];
      const { rows } = await pool.query<ListRow>({
        name: 'servers-list',
        text: LIST,
        values: [...reader(actor), ...filters],
      });
      const items = rows.filter((row) => row.id !== null).map((row) => present(row));
      return { items, total: rows[0]?.total ?? 0 };
    },
    async get(actor, serverId) {
      const { rows } = await pool.query<GetRow>({
        name: 'servers-get',
        text: GET,
        values: [...reader(actor), serverId],
      });
      if (!rows[0]) throw new AppError('server.not_found');
      return present(rows[0]);
    },
  };
}

function reader(actor: Actor): [boolean, string | null] {
  return [hasPermission(actor, 'server.read'), actor.kind === 'user' ? actor.userId : null];
}
