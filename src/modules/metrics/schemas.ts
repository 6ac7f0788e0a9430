import { z } from 'zod';
import { queryInteger, success, Timestamp } from '../../lib/schemas.js';
import { ClientServerState } from '../../protocol/client-messages.js';

const POINTS_MAX = 1000;
const POINTS_DEFAULT = 120;

const LATEST_MS = Date.UTC(9999, 0);
/** Within the years that PostgreSQL and ISO 8601 write alike. */
const Moment = z.iso
  .datetime({ offset: true })
  .refine((text) => Date.parse(text) >= 0 && Date.parse(text) <= LATEST_MS, 'must be between 1970 and 9999');

/** Which part of a history, and in how many points at most. */
export const HistoryQuery = z.strictObject({
  /** Left out: an hour before `to`. */
  from: Moment.optional(),
  /** Left out: now. */
  to: Moment.optional(),
  points: queryInteger({ min: 1, max: POINTS_MAX }).default(POINTS_DEFAULT),
});
export type HistoryQuery = z.output<typeof HistoryQuery>;

/** What was measured in `resolutionSeconds` from `at` on: means, and the highest where `Max` says so. */
export const ServerPoint = z.object({
  at: Timestamp,
  /** Percent of one core. */
  cpuUsage: z.number(),
  cpuUsageMax: z.number(),
  memoryUsageMb: z.int(),
  memoryUsageMbMax: z.int(),
  diskUsageMb: z.int().nullable(),
  /** Bytes since the start of the server. */
  networkSent: z.number(),
  networkReceived: z.number(),
});
export type ServerPoint = z.output<typeof ServerPoint>;

export const NodePoint = z.object({
  at: Timestamp,
  cpuPercent: z.number(),
  cpuPercentMax: z.number(),
  memoryUsageMb: z.int(),
  memoryUsageMbMax: z.int(),
  memoryTotalMb: z.int(),
  diskUsageMb: z.int(),
  diskTotalMb: z.int(),
  containerCount: z.int(),
});
export type NodePoint = z.output<typeof NodePoint>;

function history<Point extends z.ZodType>(point: Point) {
  return z.object({
    from: Timestamp,
    to: Timestamp,
    resolutionSeconds: z.int(),
    /** Oldest first; there is none where nothing was measured. */
    points: z.array(point),
  });
}

export const ServerHistory = history(ServerPoint);
export type ServerHistory = z.output<typeof ServerHistory>;
export const NodeHistory = history(NodePoint);
export type NodeHistory = z.output<typeof NodeHistory>;

export const ServerLive = z.object({
  serverId: z.string(),
  status: ClientServerState,
  startedAt: Timestamp.nullable(),
  /** Since its start; null while it is down. */
  uptimeSeconds: z.int().nullable(),
  allocatedMemoryMb: z.int(),
  allocatedCpuCores: z.number(),
  allocatedDiskMb: z.int(),
  /** The last that was measured; null while it is down, and when that was long ago. */
  sample: z
    .object({
      cpuUsage: z.number(),
      memoryUsageMb: z.int(),
      diskUsageMb: z.int().nullable(),
      networkSent: z.number(),
      networkReceived: z.number(),
      measuredAt: Timestamp,
      ageSeconds: z.number(),
    })
    .nullable(),
});
export type ServerLive = z.output<typeof ServerLive>;

const Amount = z.object({
  /** What the node has; null: not limited. */
  total: z.number().nullable(),
  overallocatePercent: z.int(),
  /** How much of it may be given away. */
  limit: z.number().nullable(),
  allocated: z.number(),
  available: z.number().nullable(),
});
export type Amount = z.output<typeof Amount>;

export const NodeLive = z.object({
  nodeId: z.string(),
  isOnline: z.boolean(),
  lastSeenAt: Timestamp.nullable(),
  isInMaintenance: z.boolean(),
  /** The last report of its agent; null when there was none for a day. */
  health: z
    .object({
      cpuPercent: z.number(),
      memoryUsageMb: z.int(),
      memoryTotalMb: z.int(),
      diskUsageMb: z.int(),
      diskTotalMb: z.int(),
      containerCount: z.int(),
      uptimeSeconds: z.number().nullable(),
      reportedAt: Timestamp,
      ageSeconds: z.number(),
    })
    .nullable(),
  memoryMb: Amount,
  cpuCores: Amount,
  diskMb: Amount,
  ports: z.object({
    rangeStart: z.int(),
    rangeEnd: z.int(),
    total: z.int(),
    used: z.int(),
    available: z.int(),
  }),
  servers: z.object({ total: z.int(), byStatus: z.partialRecord(ClientServerState, z.int()) }),
});
export type NodeLive = z.output<typeof NodeLive>;

export const ServerHistoryResponse = success(ServerHistory);
export const NodeHistoryResponse = success(NodeHistory);
export const ServerLiveResponse = success(ServerLive);
export const NodeLiveResponse = success(NodeLive);
