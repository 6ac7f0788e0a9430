import type { Prisma } from '../../generated/prisma/client.js';
import { AppError } from '../../lib/errors.js';
import type { UpdateNodeBody } from '../nodes/schemas.js';

type Transaction = Prisma.TransactionClient;

export interface Resources {
  allocatedMemoryMb: number;
  allocatedCpuCores: number;
  allocatedDiskMb: number;
}

export interface LockedNode {
  id: string;
  maxMemoryMb: number;
  maxCpuCores: number;
  maxDiskMb: number | null;
  portRangeStart: number;
  portRangeEnd: number;
}

interface Held {
  memoryMb: number;
  cpuCores: number;
  diskMb: number;
}

/** Sums of floating point numbers: a hundred times 0.01 cores is one core. */
const CPU_TOLERANCE = 1e-6;

/** Whoever gives away something of a node holds its row until the commit: so nothing is given away twice. */
export async function lockNode(transaction: Transaction, nodeId: string): Promise<LockedNode> {
  const rows = await transaction.$queryRaw<LockedNode[]>`
    SELECT "id", "maxMemoryMb", "maxCpuCores", "maxDiskMb", "portRangeStart", "portRangeEnd"
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
  const held = await sumHeld(transaction, node.id, serverId);
  const freeMemoryMb = node.maxMemoryMb - held.memoryMb;
  const freeCpuCores = node.maxCpuCores - held.cpuCores;
  const freeDiskMb = (node.maxDiskMb ?? Number.POSITIVE_INFINITY) - held.diskMb;
  if (wanted.allocatedMemoryMb > freeMemoryMb) refuse(`${Math.max(0, freeMemoryMb)} MB of memory are left`);
  if (wanted.allocatedCpuCores > freeCpuCores + CPU_TOLERANCE) {
    refuse(`${Math.max(0, Math.round(freeCpuCores * 100) / 100)} CPU cores are left`);
  }
  if (wanted.allocatedDiskMb > freeDiskMb) refuse(`${Math.max(0, freeDiskMb)} MB of disk are left`);
}

function refuse(left: string): never {
  throw new AppError('node.insufficient_resources', `Node does not have enough resources: ${left}.`);
}

/** Throws when the servers on a node, which the caller has locked, would not fit into its new limits. */
export async function requireRoomForServers(
  transaction: Transaction,
  nodeId: string,
  limits: UpdateNodeBody,
): Promise<void> {
  const held = await sumHeld(transaction, nodeId, null);
  const ports = await transaction.allocation.aggregate({
    where: { nodeId },
    _min: { hostPort: true },
    _max: { hostPort: true },
  });
  const { maxMemoryMb, maxCpuCores, maxDiskMb, portRangeStart, portRangeEnd } = limits;
  const lowestPort = ports._min.hostPort;
  const highestPort = ports._max.hostPort;
  if (maxMemoryMb !== undefined && maxMemoryMb < held.memoryMb) refuseLimit(`${held.memoryMb} MB of memory`);
  if (maxCpuCores !== undefined && maxCpuCores + CPU_TOLERANCE < held.cpuCores) {
    refuseLimit(`${held.cpuCores} CPU cores`);
  }
  if (typeof maxDiskMb === 'number' && maxDiskMb < held.diskMb) refuseLimit(`${held.diskMb} MB of disk`);
  if (portRangeStart !== undefined && lowestPort !== null && lowestPort < portRangeStart) {
    refuseLimit(`port ${lowestPort}`);
  }
  if (portRangeEnd !== undefined && highestPort !== null && highestPort > portRangeEnd) {
    refuseLimit(`port ${highestPort}`);
  }
}

function refuseLimit(held: string): never {
  throw new AppError('node.below_allocated', `The servers on this node already hold ${held}.`);
}

/** What the servers of a node hold, all but one. */
async function sumHeld(
  transaction: Transaction,
  nodeId: string,
  exceptServerId: string | null,
): Promise<Held> {
  const [held] = await transaction.$queryRaw<Held[]>`
    SELECT coalesce(sum("allocatedMemoryMb"), 0)::float8 AS "memoryMb",
      coalesce(sum("allocatedCpuCores"), 0)::float8 AS "cpuCores",
      coalesce(sum("allocatedDiskMb"), 0)::float8 AS "diskMb"
    FROM "Server" WHERE "nodeId" = ${nodeId} AND "id" IS DISTINCT FROM ${exceptServerId}`;
  return held ?? { memoryMb: 0, cpuCores: 0, diskMb: 0 };
}
