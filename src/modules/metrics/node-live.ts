import type { Pool } from 'pg';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { toInt4 } from '../../lib/schemas.js';
import { SHOWN_STATUS } from '../../lib/server-status.js';
import type { AgentMessageOf } from '../../protocol/agent-messages.js';
import type { Nodes } from '../nodes/service.js';
import type { Latest } from './latest.js';
import type { Amount, NodeLive } from './schemas.js';

type HealthReport = AgentMessageOf<'health_report'>;

/** Ports that servers have on addresses of their own are not the node's. */
const FIND = `
  SELECT n."id" AS "nodeId", n."isOnline", n."lastSeenAt", n."isInMaintenance", n."maxMemoryMb", n."maxCpuCores",
    n."maxDiskMb", n."memoryOverallocatePercent", n."cpuOverallocatePercent", n."diskOverallocatePercent",
    n."portRangeStart", n."portRangeEnd", held.*,
    (SELECT count(DISTINCT a."hostPort")::int FROM "Allocation" a
      WHERE a."nodeId" = n."id" AND a."hostIp" = '0.0.0.0'
        AND a."hostPort" BETWEEN n."portRangeStart" AND n."portRangeEnd") AS "portsUsed",
    (SELECT coalesce(json_object_agg(counted."status", counted."servers"), '{}') FROM (
      SELECT ${SHOWN_STATUS} AS "status", count(*) AS "servers"
      FROM "Server" s WHERE s."nodeId" = n."id" GROUP BY 1) counted) AS "byStatus"
  FROM "Node" n, LATERAL (
    SELECT count(*)::int AS "servers", coalesce(sum(s."allocatedMemoryMb"), 0)::float8 AS "heldMemoryMb",
      coalesce(sum(s."allocatedCpuCores"), 0)::float8 AS "heldCpuCores",
      coalesce(sum(s."allocatedDiskMb"), 0)::float8 AS "heldDiskMb"
    FROM "Server" s WHERE s."nodeId" = n."id") held
  WHERE n."id" = $1`;

const FIND_HEALTH = `
  SELECT m."at" AS "reportedAt", round(m."cpuPercent"::numeric, 2)::float8 AS "cpuPercent", m."memoryUsageMb",
    m."memoryTotalMb", m."diskUsageMb", m."diskTotalMb", m."containerCount",
    n."uptimeSeconds"::float8 AS "uptimeSeconds"
  FROM history.node_metrics m JOIN "Node" n ON n."id" = m."nodeId"
  WHERE m."nodeId" = $1 AND m."at" >= now() - interval '1 day'
  ORDER BY m."at" DESC LIMIT 1`;

interface Row {
  nodeId: string;
  isOnline: boolean;
  lastSeenAt: Date | null;
  isInMaintenance: boolean;
  maxMemoryMb: number;
  maxCpuCores: number;
  maxDiskMb: number | null;
  memoryOverallocatePercent: number;
  cpuOverallocatePercent: number;
  diskOverallocatePercent: number;
  portRangeStart: number;
  portRangeEnd: number;
  servers: number;
  heldMemoryMb: number;
  heldCpuCores: number;
  heldDiskMb: number;
  portsUsed: number;
  byStatus: NodeLive['servers']['byStatus'];
}
type Health = Omit<NonNullable<NodeLive['health']>, 'ageSeconds'>;

/** How a node is, and how much of it is given away. */
export function createNodeLive(options: {
  pool: Pool;
  nodes: Pick<Nodes, 'isOnline'>;
  latest: Latest<HealthReport>;
}): (actor: Actor, nodeId: string) => Promise<NodeLive> {
  const { pool, nodes, latest } = options;

  /** As it came to this panel or, when the agent talks to another one, as that one stored it. */
  async function findHealth(nodeId: string): Promise<Health | null> {
    const here = latest.find(nodeId);
    if (here) return healthOf(here);
    const { rows } = await pool.query<Health>({
      name: 'node-newest-sample',
      text: FIND_HEALTH,
      values: [nodeId],
    });
    return rows[0] ?? null;
  }

  return async (actor, nodeId) => {
    requirePermission(actor, 'admin.read');
    const { rows } = await pool.query<Row>({ name: 'node-live', text: FIND, values: [nodeId] });
    const node = rows[0];
    if (!node) throw new AppError('node.not_found');
    const health = await findHealth(nodeId);
    return {
      nodeId,
      isOnline: nodes.isOnline(node),
      lastSeenAt: node.lastSeenAt,
      isInMaintenance: node.isInMaintenance,
      health: health && { ...health, ageSeconds: ageOf(health.reportedAt) },
      memoryMb: amount(node.maxMemoryMb, node.memoryOverallocatePercent, node.heldMemoryMb),
      cpuCores: amount(node.maxCpuCores, node.cpuOverallocatePercent, node.heldCpuCores),
      diskMb: amount(node.maxDiskMb, node.diskOverallocatePercent, node.heldDiskMb),
      ports: portsOf(node),
      servers: { total: node.servers, byStatus: node.byStatus },
    };
  };
}

function healthOf({ at, value }: { at: Date; value: HealthReport }): Health {
  return {
    cpuPercent: Math.round(value.cpuPercent * 100) / 100,
    memoryUsageMb: toInt4(value.memoryUsageMb),
    memoryTotalMb: toInt4(value.memoryTotalMb),
    diskUsageMb: toInt4(value.diskUsageMb),
    diskTotalMb: toInt4(value.diskTotalMb),
    containerCount: toInt4(value.containerCount),
    uptimeSeconds: Math.floor(Math.min(value.uptimeSeconds, Number.MAX_SAFE_INTEGER)),
    reportedAt: at,
  };
}

function amount(total: number | null, overallocatePercent: number, allocated: number): Amount {
  const limit = total === null ? null : rounded((total * (100 + overallocatePercent)) / 100);
  return {
    total,
    overallocatePercent,
    limit,
    allocated: rounded(allocated),
    available: limit === null ? null : Math.max(0, rounded(limit - allocated)),
  };
}

/** Sums of floating point numbers. */
function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

function portsOf({ portRangeStart, portRangeEnd, portsUsed }: Row): NodeLive['ports'] {
  const total = portRangeEnd - portRangeStart + 1;
  return {
    rangeStart: portRangeStart,
    rangeEnd: portRangeEnd,
    total,
    used: portsUsed,
    available: total - portsUsed,
  };
}

function ageOf(time: Date): number {
  return Math.max(0, (Date.now() - time.getTime()) / 1000);
}
