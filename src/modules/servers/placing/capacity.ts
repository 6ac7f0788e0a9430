import type { Prisma } from '../../../generated/prisma/client.js';
import type { NodeRuntime } from '../../../generated/prisma/enums.js';
import { AppError } from '../../../lib/errors.js';
import { withoutUndefined } from '../../../lib/without-undefined.js';

type Transaction = Prisma.TransactionClient;

export interface Resources {
  allocatedMemoryMb: number;
  allocatedCpuCores: number;
  allocatedDiskMb: number;
}

/** What a node has to give away: its own, and so many percent more. */
export interface NodeLimits {
  maxMemoryMb: number;
  maxCpuCores: number;
  maxDiskMb: number | null;
  memoryOverallocatePercent: number;
  cpuOverallocatePercent: number;
  diskOverallocatePercent: number;
}

export interface LockedNode extends NodeLimits {
  id: string;
  name: string;
  portRangeStart: number;
  portRangeEnd: number;
  isInMaintenance: boolean;
  isOnline: boolean;
  lastSeenAt: Date | null;
  runtime: NodeRuntime | null;
}

/** What servers hold of a node. */
export interface Held {
  memoryMb: number;
  cpuCores: number;
  diskMb: number;
}

/** What the change of a node may say; whatever it leaves out stays. */
type NewLimits = { [Name in keyof NodeLimits]?: NodeLimits[Name] | undefined } & {
  portRangeStart?: number | undefined;
  portRangeEnd?: number | undefined;
};

/** The address of a port on which the whole node listens. */
export const EVERY_ADDRESS = '0.0.0.0';

/** Sums of floating point numbers: a hundred times 0.01 cores is one core. */
const CPU_TOLERANCE = 1e-6;

/** Whoever gives away something of a node holds its row until the commit: so nothing is given away twice. */
export async function lockNode(transaction: Transaction, nodeId: string): Promise<LockedNode> {
  const rows = await transaction.$queryRaw<LockedNode[]>`
    SELECT "id", "name", "maxMemoryMb", "maxCpuCores", "maxDiskMb", "memoryOverallocatePercent",
      "cpuOverallocatePercent", "diskOverallocatePercent", "portRangeStart", "portRangeEnd", "isInMaintenance",
      "isOnline", "lastSeenAt", "runtime"::text
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
  const shortage = findShortage(freeOf(node, await sumHeld(transaction, node.id, serverId)), wanted);
  if (!shortage) return;
  throw new AppError('node.insufficient_resources', `Node does not have enough resources: ${shortage}.`);
}

/** What of a node is not held by servers; infinite where it has no limit. */
export function freeOf(limits: NodeLimits, held: Held): Held {
  const { memoryMb, cpuCores, diskMb } = amounts(limits);
  return {
    memoryMb: memoryMb - held.memoryMb,
    cpuCores: cpuCores - held.cpuCores,
    diskMb: diskMb - held.diskMb,
  };
}

/** What there is too little of, for the user; null when there is enough of everything. */
export function findShortage(free: Held, wanted: Resources): string | null {
  if (wanted.allocatedMemoryMb > free.memoryMb) return `${left(free.memoryMb)} MB of memory are left`;
  if (wanted.allocatedCpuCores > free.cpuCores + CPU_TOLERANCE) {
    return `${Math.max(0, Math.round(free.cpuCores * 100) / 100)} CPU cores are left`;
  }
  if (wanted.allocatedDiskMb > free.diskMb) return `${left(free.diskMb)} MB of disk are left`;
  return null;
}

/** All that a node gives away. */
export function amounts(limits: NodeLimits): Held {
  const { maxMemoryMb, maxCpuCores, maxDiskMb } = limits;
  return {
    memoryMb: withPercent(maxMemoryMb, limits.memoryOverallocatePercent),
    cpuCores: withPercent(maxCpuCores, limits.cpuOverallocatePercent),
    diskMb: withPercent(maxDiskMb ?? Number.POSITIVE_INFINITY, limits.diskOverallocatePercent),
  };
}

function withPercent(amount: number, percent: number): number {
  return (amount * (100 + percent)) / 100;
}

function left(megabytes: number): number {
  return Math.max(0, Math.floor(megabytes));
}

/** Throws when the servers on a node would not fit into its new limits; asked before these are written. */
export async function requireRoomForServers(
  transaction: Transaction,
  nodeId: string,
  limits: NewLimits,
): Promise<void> {
  const node = await lockNode(transaction, nodeId);
  const held = await sumHeld(transaction, nodeId, null);
  const { memoryMb, cpuCores, diskMb } = amounts({ ...node, ...withoutUndefined(limits) });
  // What is over already, and does not become less now, stays allowed: other settings can be changed all the same.
  const old = amounts(node);
  if (memoryMb < old.memoryMb && memoryMb < held.memoryMb) refuseLimit(`${held.memoryMb} MB of memory`);
  if (cpuCores < old.cpuCores && cpuCores + CPU_TOLERANCE < held.cpuCores) {
    refuseLimit(`${held.cpuCores} CPU cores`);
  }
  if (diskMb < old.diskMb && diskMb < held.diskMb) refuseLimit(`${held.diskMb} MB of disk`);
  await requirePortsInRange(transaction, nodeId, limits);
}

async function requirePortsInRange(
  transaction: Transaction,
  nodeId: string,
  { portRangeStart, portRangeEnd }: NewLimits,
): Promise<void> {
  const ports = await transaction.allocation.aggregate({
    where: { nodeId, hostIp: EVERY_ADDRESS },
    _min: { hostPort: true },
    _max: { hostPort: true },
  });
  const lowestPort = ports._min.hostPort;
  const highestPort = ports._max.hostPort;
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
