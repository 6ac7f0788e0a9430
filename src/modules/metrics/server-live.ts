import type { Pool } from 'pg';
import type { ServerStats } from '../../events.js';
import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { toInt4 } from '../../lib/schemas.js';
import { IS_UP, SHOWN_STATUS } from '../../lib/server-status.js';
import type { ServerAccess } from '../servers/access.js';
import type { Latest } from './latest.js';
import type { ServerLive } from './schemas.js';

const FIND = `
  SELECT s."id" AS "serverId", s."startedAt", ${IS_UP} AS "isUp", ${SHOWN_STATUS} AS "status",
    s."allocatedMemoryMb", s."allocatedCpuCores", s."allocatedDiskMb"
  FROM "Server" s WHERE s."id" = $1`;

/** What was measured longer ago says nothing about now. */
const FIND_SAMPLE = `
  SELECT "at" AS "measuredAt", round("cpuUsage"::numeric, 2)::float8 AS "cpuUsage", "memoryUsageMb", "diskUsageMb",
    "networkSent"::float8 AS "networkSent", "networkReceived"::float8 AS "networkReceived"
  FROM history.server_metrics
  WHERE "serverId" = $1 AND "at" >= now() - interval '5 minutes'
  ORDER BY "at" DESC LIMIT 1`;

type Row = Omit<ServerLive, 'uptimeSeconds' | 'sample'> & { isUp: boolean };
type Sample = Omit<NonNullable<ServerLive['sample']>, 'ageSeconds'>;

/** What a server uses now: as it came to this panel or, when its agent talks to another one, as that one stored it. */
export function createServerLive(options: {
  pool: Pool;
  access: ServerAccess;
  latest: Latest<ServerStats>;
}): (actor: Actor, serverId: string) => Promise<ServerLive> {
  const { pool, access, latest } = options;

  async function findSample(serverId: string): Promise<Sample | null> {
    const here = latest.find(serverId);
    if (here) return sampleOf(here);
    const { rows } = await pool.query<Sample>({
      name: 'server-newest-sample',
      text: FIND_SAMPLE,
      values: [serverId],
    });
    return rows[0] ?? null;
  }

  return async (actor, serverId) => {
    await access.authorise(actor, serverId, 'server.read');
    const { rows } = await pool.query<Row>({ name: 'server-live', text: FIND, values: [serverId] });
    if (!rows[0]) throw new AppError('server.not_found');
    const { isUp, ...server } = rows[0];
    const sample = isUp ? await findSample(serverId) : null;
    return {
      ...server,
      uptimeSeconds: isUp && server.startedAt ? Math.floor(secondsSince(server.startedAt)) : null,
      sample: sample && { ...sample, ageSeconds: secondsSince(sample.measuredAt) },
    };
  };
}

function sampleOf({ at, value }: { at: Date; value: ServerStats }): Sample {
  return {
    cpuUsage: Math.round(value.cpu * 100) / 100,
    memoryUsageMb: toInt4(value.memoryMb),
    diskUsageMb: value.diskUsageMb === undefined ? null : toInt4(value.diskUsageMb),
    networkSent: value.networkSent,
    networkReceived: value.networkReceived,
    measuredAt: at,
  };
}

function secondsSince(time: Date): number {
  return Math.max(0, (Date.now() - time.getTime()) / 1000);
}
