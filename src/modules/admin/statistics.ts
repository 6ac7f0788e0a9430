import type { Pool } from 'pg';
import { IS_UP } from '../../lib/server-status.js';
import type { Nodes } from '../nodes/service.js';
import type { Statistics } from './schemas.js';

const SERVERS = `
  SELECT count(*)::int AS "totalServers",
    count(*) FILTER (WHERE s."status" = 'running')::int AS "runningServers",
    (SELECT count(*)::int FROM "User") AS "totalUsers",
    coalesce(sum(s."allocatedMemoryMb"), 0)::float8 AS "usedMemoryMb",
    coalesce(sum(s."allocatedCpuCores"), 0) AS "usedCpuCores",
    coalesce(sum(s."memoryUsageMb") FILTER (WHERE ${IS_UP}), 0)::float8 AS "measuredMemoryMb",
    coalesce(sum(s."cpuUsage") FILTER (WHERE ${IS_UP}), 0) / 100 AS "measuredCpuCores"
  FROM "Server" s`;

const NODES = `SELECT "isOnline", "lastSeenAt", "maxMemoryMb", "maxCpuCores" FROM "Node"`;

interface NodeRow {
  isOnline: boolean;
  lastSeenAt: Date | null;
  maxMemoryMb: number;
  maxCpuCores: number;
}

export interface NodeCounts {
  total: number;
  online: number;
  offline: number;
}

export interface StatisticsOptions {
  pool: Pool;
  nodes: Pick<Nodes, 'isOnline'>;
}

export async function readStatistics({ pool, nodes }: StatisticsOptions): Promise<Statistics> {
  const [servers, { rows }] = await Promise.all([
    pool.query<Omit<Statistics, 'totalNodes' | 'onlineNodes' | 'totalMemoryMb' | 'totalCpuCores'>>(SERVERS),
    pool.query<NodeRow>(NODES),
  ]);
  const [held] = servers.rows;
  if (!held) throw new Error('The database answered nothing.');
  return {
    ...held,
    usedCpuCores: rounded(held.usedCpuCores),
    measuredCpuCores: rounded(held.measuredCpuCores),
    totalNodes: rows.length,
    onlineNodes: rows.filter(nodes.isOnline).length,
    totalMemoryMb: rows.reduce((sum, node) => sum + node.maxMemoryMb, 0),
    totalCpuCores: rounded(rows.reduce((sum, node) => sum + node.maxCpuCores, 0)),
  };
}

export async function countNodes({ pool, nodes }: StatisticsOptions): Promise<NodeCounts> {
  const { rows } = await pool.query<NodeRow>(NODES);
  const online = rows.filter(nodes.isOnline).length;
  return { total: rows.length, online, offline: rows.length - online };
}

/** Tenths of cores do not add up exactly. */
function rounded(cores: number): number {
  return Math.round(cores * 1000) / 1000;
}
