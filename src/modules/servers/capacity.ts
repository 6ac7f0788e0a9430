import type { Prisma } from '../../generated/prisma/client.js';
import { AppError } from '../../lib/errors.js';

type Transaction = Prisma.TransactionClient;

export interface Resources {
  allocatedMemoryMb: number;
  allocatedCpuCores: number;
  allocatedDiskMb: number;
}

export interface LockedNode {
  id: string;
  locationId: string;
  maxMemoryMb: number;
  maxCpuCores: number;
  maxDiskMb: number | null;
  portRangeStart: number;
  portRangeEnd: number;
}

/** Sums of floating point numbers: a hundred times 0.01 cores is one core. */
const CPU_TOLERANCE = 1e-6;

/** Whoever gives away something of a node holds its row until the commit: so nothing is given away twice. */
export async function lockNode(transaction: Transaction, nodeId: string): Promise<LockedNode> {
  const rows = await transaction.$queryRaw<LockedNode[]>`
    SELECT "id", "locationId", "maxMemoryMb", "maxCpuCores", "maxDiskMb", "portRangeStart", "portRangeEnd"
    FROM "Node" WHERE "id" = ${nodeId} FOR UPDATE`;
  if (!rows[0]) throw new AppError('node.not_found');
  return rows[0];
}

/**
 * Throws when the node has not enough left for a server, given what its other servers hold.
 * @param serverId Of a server whose own share does not count, as it is about to change.
 */
export async function requireCapacity(
  transaction: Transaction,
  node: LockedNode,
  wanted: Resources,
  serverId: string | null = null,
): Promise<void> {
  const [held] = await transaction.$queryRaw<{ memoryMb: number; cpuCores: number; diskMb: number }[]>`
    SELECT coalesce(sum("allocatedMemoryMb"), 0)::float8 AS "memoryMb",
      coalesce(sum("allocatedCpuCores"), 0)::float8 AS "cpuCores",
      coalesce(sum("allocatedDiskMb"), 0)::float8 AS "diskMb"
    FROM "Server" WHERE "nodeId" = ${node.id} AND "id" IS DISTINCT FROM ${serverId}`;
  if (!held) return;
  const freeMemoryMb = node.maxMemoryMb - held.memoryMb;
  const freeCpuCores = node.maxCpuCores - held.cpuCores;
  const freeDiskMb = node.maxDiskMb === null ? Number.POSITIVE_INFINITY : node.maxDiskMb - held.diskMb;
  if (wanted.allocatedMemoryMb > freeMemoryMb) refuse(`${Math.max(0, freeMemoryMb)} MB of memory are left`);
  if (wanted.allocatedCpuCores > freeCpuCores + CPU_TOLERANCE) {
    refuse(`${Math.max(0, Math.round(freeCpuCores * 100) / 100)} CPU cores are left`);
  }
  if (wanted.allocatedDiskMb > freeDiskMb) refuse(`${Math.max(0, freeDiskMb)} MB of disk are left`);
}

function refuse(left: string): never {
  throw new AppError('node.insufficient_resources', `Node does not have enough resources: ${left}.`);
}
