import type { Pool } from 'pg';
import type { ServerStats } from '../../events.js';
import { toInt4 } from '../../lib/schemas.js';
import type { AgentMessageOf } from '../../protocol/agent-messages.js';
import type { Sample } from './sampler.js';

const REAL_MAX = 1e30;

/** Servers that are gone meanwhile are left out. `updatedAt` is for what people change. */
const INSERT_SERVERS = `
  WITH sample AS (
    SELECT s.* FROM unnest($1::text[], $2::timestamptz[], $3::float8[], $4::int[], $5::int[], $6::bigint[], $7::bigint[])
      AS s("serverId", "at", "cpuUsage", "memoryUsageMb", "diskUsageMb", "networkSent", "networkReceived")
    JOIN "Server" ON "Server"."id" = s."serverId"
  ), newest AS (
    UPDATE "Server" SET "cpuUsage" = s."cpuUsage", "memoryUsageMb" = s."memoryUsageMb",
      "diskUsageMb" = coalesce(s."diskUsageMb", "Server"."diskUsageMb"),
      "networkSent" = s."networkSent", "networkReceived" = s."networkReceived"
    FROM sample s WHERE "Server"."id" = s."serverId"
  )
  INSERT INTO history.server_metrics
    ("serverId", "at", "cpuUsage", "memoryUsageMb", "diskUsageMb", "networkSent", "networkReceived")
  SELECT * FROM sample ON CONFLICT DO NOTHING`;

const INSERT_NODES = `
  INSERT INTO history.node_metrics
    ("nodeId", "at", "cpuPercent", "memoryUsageMb", "memoryTotalMb", "diskUsageMb", "diskTotalMb", "containerCount")
  SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::float8[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[])
  ON CONFLICT DO NOTHING`;

export async function insertServerSamples(
  pool: Pool,
  samples: readonly Sample<ServerStats>[],
): Promise<void> {
  const values = samples.map(({ value }) => value);
  await pool.query(INSERT_SERVERS, [
    samples.map(({ id }) => id),
    samples.map(({ at }) => at),
    values.map(({ cpu }) => toReal(cpu)),
    values.map(({ memoryMb }) => toInt4(memoryMb)),
    values.map(({ diskUsageMb }) => (diskUsageMb === undefined ? null : toInt4(diskUsageMb))),
    values.map(({ networkSent }) => networkSent),
    values.map(({ networkReceived }) => networkReceived),
  ]);
}

export async function insertNodeSamples(
  pool: Pool,
  samples: readonly Sample<AgentMessageOf<'health_report'>>[],
): Promise<void> {
  const values = samples.map(({ value }) => value);
  await pool.query(INSERT_NODES, [
    samples.map(({ id }) => id),
    samples.map(({ at }) => at),
    values.map(({ cpuPercent }) => toReal(cpuPercent)),
    values.map(({ memoryUsageMb }) => toInt4(memoryUsageMb)),
    values.map(({ memoryTotalMb }) => toInt4(memoryTotalMb)),
    values.map(({ diskUsageMb }) => toInt4(diskUsageMb)),
    values.map(({ diskTotalMb }) => toInt4(diskTotalMb)),
    values.map(({ containerCount }) => toInt4(containerCount)),
  ]);
}

/** Two digits are plenty, and always within what a `real` can hold. */
function toReal(value: number): number {
  return Math.min(Math.round(value * 100) / 100, REAL_MAX);
}
