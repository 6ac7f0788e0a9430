import type { Prisma } from '../../../generated/prisma/client.js';
import { type Actor, hasPermission } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import { canonicalIp, firstFreeIp, isUsableIp } from '../../../lib/ip-range.js';
import type { LockedNode } from './capacity.js';

/** What every node has; any other network mode names the network of an IP pool. */
const MODES_OF_EVERY_NODE: readonly string[] = ['bridge', 'host'];

export interface NetworkRequest {
  networkMode: string;
  /** The address to have, canonical; null: the lowest that is free. */
  primaryIp: string | null;
}

/** An address of a pool, free at the moment. */
export interface AddressChoice {
  poolId: string;
  ip: string;
}

/** Whether servers get an address of their own in it. */
export function isPoolNetwork(networkMode: string): boolean {
  return !MODES_OF_EVERY_NODE.includes(networkMode);
}

/** What can be said of a network before a node is chosen. */
export function checkNetwork(
  actor: Actor,
  { networkMode, primaryIp }: { networkMode: string; primaryIp: string | undefined },
): NetworkRequest {
  if (networkMode === 'host' && !hasPermission(actor, 'admin.write')) {
    throw new AppError(
      'permission.denied',
      'Only an administrator may put a server into the network of its node.',
    );
  }
  if (primaryIp === undefined) return { networkMode, primaryIp: null };
  const ip = canonicalIp(primaryIp);
  if (ip === null) throw new AppError('request.invalid', 'body.primaryIp: is not an IP address');
  if (!isPoolNetwork(networkMode)) {
    throw new AppError(
      'request.invalid',
      'body.primaryIp: takes a networkMode that names the network of an IP pool',
    );
  }
  return { networkMode, primaryIp: ip };
}

/** Why no server of a node can have an address of its own, whatever its pools say; null when they can. */
export function findNetworkObstacle({ runtime }: Pick<LockedNode, 'runtime'>): string | null {
  return runtime === 'process'
    ? 'its agent runs servers as plain processes, which have no networks of their own'
    : null;
}

/** Chooses an address in the pool that the network mode names; null when it names none. The node is locked. */
export async function chooseAddress(
  transaction: Prisma.TransactionClient,
  node: LockedNode,
  { networkMode, primaryIp }: NetworkRequest,
): Promise<AddressChoice | null> {
  if (!isPoolNetwork(networkMode)) return null;
  const pool = await transaction.ipPool.findUnique({
    where: { nodeId_networkName: { nodeId: node.id, networkName: networkMode } },
  });
  if (!pool) {
    throw new AppError(
      'request.invalid',
      `networkMode: must be "bridge", "host" or the network of an IP pool of the node, not "${networkMode}".`,
    );
  }
  const obstacle = findNetworkObstacle(node);
  if (obstacle) {
    throw new AppError('request.invalid', `networkMode: the node has no network for servers: ${obstacle}.`);
  }
  const rows = await transaction.ipAllocation.findMany({ where: { poolId: pool.id }, select: { ip: true } });
  const taken = new Set(rows.map(({ ip }) => ip));
  if (primaryIp === null) {
    const ip = firstFreeIp(pool, taken);
    if (ip === null) throw new AppError('ip_pool.exhausted');
    return { poolId: pool.id, ip };
  }
  if (!isUsableIp(pool, primaryIp)) {
    throw new AppError(
      'ip_pool.address_unusable',
      `The pool "${pool.name}" does not give ${primaryIp} away.`,
    );
  }
  if (taken.has(primaryIp)) throw new AppError('ip_pool.address_taken');
  return { poolId: pool.id, ip: primaryIp };
}
