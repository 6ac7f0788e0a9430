import type { Prisma } from '../../generated/prisma/client.js';
import { AppError } from '../../lib/errors.js';
import type { UpdateNodeBody } from './schemas.js';

/** Sums of floating point numbers: a hundred times 0.01 cores is one core. */
const CPU_TOLERANCE = 1e-6;

interface Held {
  memoryMb: number;
  cpuCores: number;
  diskMb: number;
  lowestPort: number | null;
  highestPort: number | null;
}

export function requirePortRange(range: { portRangeStart: number; portRangeEnd: number }): void {
  if (range.portRangeStart <= range.portRangeEnd) return;
  throw new AppError('request.invalid', 'body.portRangeEnd: must not be below portRangeStart');
}

/** Throws when the servers on a node, which the caller has locked, would not fit into its new limits. */
export async function requireRoomForServers(
  transaction: Prisma.TransactionClient,
  nodeId: string,
  limits: UpdateNodeBody,
): Promise<void> {
  const [held] = await transaction.$queryRaw<Held[]>`
    SELECT coalesce(sum("allocatedMemoryMb"), 0)::float8 AS "memoryMb",
      coalesce(sum("allocatedCpuCores"), 0)::float8 AS "cpuCores",
      coalesce(sum("allocatedDiskMb"), 0)::float8 AS "diskMb",
      (SELECT min("hostPort") FROM "Allocation" WHERE "nodeId" = ${nodeId}) AS "lowestPort",
      (SELECT max("hostPort") FROM "Allocation" WHERE "nodeId" = ${nodeId}) AS "highestPort"
    FROM "Server" WHERE "nodeId" = ${nodeId}`;
  if (!held) return;
  const { maxMemoryMb, maxCpuCores, maxDiskMb, portRangeStart, portRangeEnd } = limits;
  if (maxMemoryMb !== undefined && maxMemoryMb < held.memoryMb) refuse(`${held.memoryMb} MB of memory`);
  if (maxCpuCores !== undefined && maxCpuCores + CPU_TOLERANCE < held.cpuCores) {
    refuse(`${held.cpuCores} CPU cores`);
  }
  if (typeof maxDiskMb === 'number' && maxDiskMb < held.diskMb) refuse(`${held.diskMb} MB of disk`);
  if (portRangeStart !== undefined && held.lowestPort !== null && held.lowestPort < portRangeStart) {
    refuse(`port ${held.lowestPort}`);
  }
  if (portRangeEnd !== undefined && held.highestPort !== null && held.highestPort > portRangeEnd) {
    refuse(`port ${held.highestPort}`);
  }
}

function refuse(what: string): never {
  throw new AppError('node.below_allocated', `The servers on this node already hold ${what}.`);
}
