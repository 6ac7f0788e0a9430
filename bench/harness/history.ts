import type pg from 'pg';
import { ensurePartitions } from '../../src/database/partitions.js';

const METRICS_DAYS = 30;
const METRICS_INTERVAL = '30 seconds';
const LOG_ROWS = 1_000_000;
const LOG_DAYS = 13;

/** What a busy month leaves in the database: a sample each 30 s of every server and node, and a million lines. */
export async function fillHistory(
  pool: pg.Pool,
  nodeId: string,
): Promise<{ metrics: number; lines: number }> {
  await ensurePartitions(pool, new Date(), { daysBack: METRICS_DAYS });
  const times = `generate_series(now() - interval '${METRICS_DAYS} days', now(), interval '${METRICS_INTERVAL}') AS t(at)`;
  const servers = await pool.query(
    `INSERT INTO "history"."server_metrics"
       ("serverId", "at", "cpuUsage", "memoryUsageMb", "diskUsageMb", "networkSent", "networkReceived")
     SELECT s."id", t.at, random() * 100, 256 + random() * 256, 900, 1e6, 1e6 FROM "Server" s CROSS JOIN ${times}`,
  );
  const nodes = await pool.query(
    `INSERT INTO "history"."node_metrics"
       ("nodeId", "at", "cpuPercent", "memoryUsageMb", "memoryTotalMb", "diskUsageMb", "diskTotalMb", "containerCount")
     SELECT $1, t.at, random() * 100, 4096, 16384, 90000, 200000, 20 FROM ${times}`,
    [nodeId],
  );
  const lines = await pool.query(
    `INSERT INTO "history"."server_logs" ("serverId", "seq", "at", "stream", "data")
     SELECT s.ids[1 + n % array_length(s.ids, 1)], n,
       now() - interval '${LOG_DAYS} days' * (1 - n / ${LOG_ROWS}.0), 'stdout',
       '[Server thread/INFO]: a line of the usual length, number ' || n || ' of a busy fortnight'
     FROM generate_series(1, ${LOG_ROWS}) AS g(n), (SELECT array_agg("id") AS ids FROM "Server") AS s`,
  );
  await pool.query('VACUUM ANALYZE');
  return { metrics: (servers.rowCount ?? 0) + (nodes.rowCount ?? 0), lines: lines.rowCount ?? 0 };
}
