import type { PrismaClient } from '../../../generated/prisma/client.js';
import { AppError, type ErrorCode } from '../../../lib/errors.js';
import type { Nodes } from '../../nodes/service.js';
import { amounts, findShortage, freeOf, type Held, type LockedNode, type Resources } from './capacity.js';
import { findNetworkObstacle, isPoolNetwork } from './networks.js';

/** What a server needs of the node that is chosen for it. */
export interface NodeWish {
  /** Null: anywhere. */
  locationId: string | null;
  resources: Resources;
  networkMode: string;
}

/** A node that does not take the server, and why: for the user. */
export interface Refusal {
  nodeName: string;
  reason: string;
}

export interface NodeChoice {
  /** Best first. What each has left may be gone when it is locked. */
  candidates: { id: string; name: string }[];
  refusals: Refusal[];
}

/** Nodes looked at, those with the most memory first. */
const NODES_MAX = 1000;
const REFUSALS_SHOWN_MAX = 20;

/** What only this node had too little of, so that the next is asked. */
const NODE_IS_NO_PLACE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'node.insufficient_resources',
  'node.in_maintenance',
  'node.not_found',
  'allocation.port_taken',
  'allocation.port_out_of_range',
  'ip_pool.exhausted',
  'ip_pool.address_taken',
  'ip_pool.address_unusable',
]);

type Candidate = LockedNode & Held & { serverCount: number; hasNetwork: boolean };

/** Which nodes have room for a server, and why the others have not. */
export async function chooseNodes(
  { prisma, nodes }: { prisma: PrismaClient; nodes: Pick<Nodes, 'isOnline'> },
  wish: NodeWish,
): Promise<NodeChoice> {
  const choice: NodeChoice = { candidates: [], refusals: [] };
  const fitting: Candidate[] = [];
  for (const node of await load(prisma, wish)) {
    const reason = findReason(node, wish, nodes.isOnline(node));
    if (reason) choice.refusals.push({ nodeName: node.name, reason });
    else fitting.push(node);
  }
  choice.candidates = fitting
    .map((node) => ({ id: node.id, name: node.name, rank: rank(node, wish.resources) }))
    .sort((a, b) => compare(a.rank, b.rank));
  return choice;
}

function load(prisma: PrismaClient, { locationId, networkMode }: NodeWish): Promise<Candidate[]> {
  return prisma.$queryRaw<Candidate[]>`
    SELECT n."id", n."name", n."maxMemoryMb", n."maxCpuCores", n."maxDiskMb", n."memoryOverallocatePercent",
      n."cpuOverallocatePercent", n."diskOverallocatePercent", n."portRangeStart", n."portRangeEnd",
      n."isInMaintenance", n."isOnline", n."lastSeenAt", n."runtime"::text,
      coalesce(held."memoryMb", 0)::float8 AS "memoryMb", coalesce(held."cpuCores", 0)::float8 AS "cpuCores",
      coalesce(held."diskMb", 0)::float8 AS "diskMb", coalesce(held."serverCount", 0)::int AS "serverCount",
      EXISTS (SELECT FROM "IpPool" p WHERE p."nodeId" = n."id" AND p."networkName" = ${networkMode}) AS "hasNetwork"
    FROM "Node" n
    LEFT JOIN (
      SELECT "nodeId", sum("allocatedMemoryMb") AS "memoryMb", sum("allocatedCpuCores") AS "cpuCores",
        sum("allocatedDiskMb") AS "diskMb", count(*) AS "serverCount"
      FROM "Server" GROUP BY "nodeId"
    ) held ON held."nodeId" = n."id"
    WHERE ${locationId}::text IS NULL OR n."locationId" = ${locationId}
    ORDER BY n."maxMemoryMb" - coalesce(held."memoryMb", 0) DESC, n."name"
    LIMIT ${NODES_MAX}`;
}

function findReason(node: Candidate, wish: NodeWish, isOnline: boolean): string | null {
  if (node.isInMaintenance) return 'in maintenance';
  if (!isOnline) return 'offline';
  if (isPoolNetwork(wish.networkMode)) {
    if (!node.hasNetwork) return `it has no network "${wish.networkMode}"`;
    const obstacle = findNetworkObstacle(node);
    if (obstacle) return obstacle;
  }
  return findShortage(freeOf(node, node), wish.resources);
}

/** The shares of memory and CPU that are left with the server on it, and how many others there are (the fewer the better). */
function rank(node: Candidate, wanted: Resources): number[] {
  const all = amounts(node);
  const free = freeOf(node, node);
  return [
    (free.memoryMb - wanted.allocatedMemoryMb) / all.memoryMb,
    (free.cpuCores - wanted.allocatedCpuCores) / all.cpuCores,
    -node.serverCount,
  ];
}

/** The higher first, by the first number in which they differ. */
function compare(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((value, position) => value !== b[position]);
  return index === -1 ? 0 : (b[index] ?? 0) - (a[index] ?? 0);
}

/** Why a node did not take the server after all; null when that has nothing to do with the node. */
export function refusalReason(error: unknown): string | null {
  if (!(error instanceof AppError) || !NODE_IS_NO_PLACE.has(error.code)) return null;
  return error.message.replace(/^Node does not have enough resources: /, '').replace(/\.$/, '');
}

/** Names each node and what is in the way of it. */
export function noNode(refusals: readonly Refusal[], locationId: string | null): AppError {
  if (refusals.length === 0) {
    const where = locationId === null ? 'yet' : 'in this location';
    return new AppError('server.no_node', `No node has room for the server: there is no node ${where}.`);
  }
  const shown = refusals.slice(0, REFUSALS_SHOWN_MAX).map(({ nodeName, reason }) => `${nodeName}: ${reason}`);
  const more = refusals.length - shown.length;
  const list = [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
  return new AppError('server.no_node', `No node has room for the server: ${list}.`);
}
