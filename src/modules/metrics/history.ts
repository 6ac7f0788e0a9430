import type { Pool } from 'pg';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { ServerAccess } from '../servers/access.js';
import type { HistoryQuery, NodeHistory, NodePoint, ServerHistory, ServerPoint } from './schemas.js';

const RANGE_DEFAULT_MS = 60 * 60_000;
/** Samples are not closer together than this. */
const RESOLUTION_MIN_SECONDS = 30;

export interface MetricsHistory {
  serverHistory(actor: Actor, serverId: string, query: HistoryQuery): Promise<ServerHistory>;
  nodeHistory(actor: Actor, nodeId: string, query: HistoryQuery): Promise<NodeHistory>;
}

/** $1: of what; $2 and $3: from and to; $4: the seconds that become one point. Days outside are not even looked at. */
const SERVER_POINTS = `
  SELECT date_bin(make_interval(secs => $4::float8), "at", $2::timestamptz) AS "at",
    round(avg("cpuUsage")::numeric, 2)::float8 AS "cpuUsage",
    round(max("cpuUsage")::numeric, 2)::float8 AS "cpuUsageMax",
    round(avg("memoryUsageMb"))::int AS "memoryUsageMb", max("memoryUsageMb") AS "memoryUsageMbMax",
    max("diskUsageMb") AS "diskUsageMb", max("networkSent")::float8 AS "networkSent",
    max("networkReceived")::float8 AS "networkReceived"
  FROM history.server_metrics
  WHERE "serverId" = $1 AND "at" >= $2::timestamptz AND "at" < $3::timestamptz
  GROUP BY 1 ORDER BY 1`;

const NODE_POINTS = `
  SELECT date_bin(make_interval(secs => $4::float8), "at", $2::timestamptz) AS "at",
    round(avg("cpuPercent")::numeric, 2)::float8 AS "cpuPercent",
    round(max("cpuPercent")::numeric, 2)::float8 AS "cpuPercentMax",
    round(avg("memoryUsageMb"))::int AS "memoryUsageMb", max("memoryUsageMb") AS "memoryUsageMbMax",
    max("memoryTotalMb") AS "memoryTotalMb", round(avg("diskUsageMb"))::int AS "diskUsageMb",
    max("diskTotalMb") AS "diskTotalMb", max("containerCount") AS "containerCount"
  FROM history.node_metrics
  WHERE "nodeId" = $1 AND "at" >= $2::timestamptz AND "at" < $3::timestamptz
  GROUP BY 1 ORDER BY 1`;

export function createMetricsHistory(options: { pool: Pool; access: ServerAccess }): MetricsHistory {
  const { pool, access } = options;

  async function read<Point extends object>(id: string, query: HistoryQuery, statement: Statement) {
    const { from, to, resolutionSeconds } = rangeOf(query, new Date());
    const { rows } = await pool.query<Point>({
      ...statement,
      values: [id, from.toISOString(), to.toISOString(), resolutionSeconds],
    });
    return { from, to, resolutionSeconds, points: rows };
  }

  return {
    async serverHistory(actor, serverId, query) {
      await access.authorise(actor, serverId, 'server.read');
      return read<ServerPoint>(serverId, query, { name: 'server-history', text: SERVER_POINTS });
    },

    async nodeHistory(actor, nodeId, query) {
      requirePermission(actor, 'admin.read');
      const { rowCount } = await pool.query('SELECT FROM "Node" WHERE "id" = $1', [nodeId]);
      if (rowCount === 0) throw new AppError('node.not_found');
      return read<NodePoint>(nodeId, query, { name: 'node-history', text: NODE_POINTS });
    },
  };
}

interface Statement {
  name: string;
  text: string;
}

/** The times that a query means, and how long each of its points is. */
function rangeOf({ from, to, points }: HistoryQuery, now: Date) {
  const end = to === undefined ? now : new Date(to);
  const start = from === undefined ? new Date(end.getTime() - RANGE_DEFAULT_MS) : new Date(from);
  if (start >= end) throw new AppError('request.invalid', 'query.from: must be before "to"');
  const seconds = (end.getTime() - start.getTime()) / 1000;
  return {
    from: start,
    to: end,
    resolutionSeconds: Math.max(RESOLUTION_MIN_SECONDS, Math.ceil(seconds / points)),
  };
}
