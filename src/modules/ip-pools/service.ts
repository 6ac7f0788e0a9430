import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { type Actor, requirePermission, SYSTEM_ACTOR } from '../../lib/actor.js';
import { auditChanges, recordAudit } from '../../lib/audit.js';
import { isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { overlaps, parseCidr, unusableIps } from '../../lib/ip-range.js';
import { withoutUndefined } from '../../lib/without-undefined.js';
import type { CreateIpPoolBody, IpPool, UpdateIpPoolBody } from './schemas.js';
import { checkPoolNetwork } from './validation.js';
import { createIpPoolViews, type IpPoolViews } from './views.js';

type Transaction = Prisma.TransactionClient;

/** All of them are in one answer. */
const POOLS_PER_NODE_MAX = 100;

/** What the network on the node is made of: servers that are in it would be left behind. */
const NETWORK_FIELDS = ['nodeId', 'networkName', 'driver', 'parentInterface', 'cidr', 'gateway'] as const;

export interface IpPools extends IpPoolViews {
  create(actor: Actor, input: CreateIpPoolBody): Promise<IpPool>;
  update(actor: Actor, poolId: string, input: UpdateIpPoolBody): Promise<IpPool>;
  delete(actor: Actor, poolId: string): Promise<void>;
}

export function createIpPools({ prisma }: { prisma: PrismaClient }): IpPools {
  const views = createIpPoolViews({ prisma });

  return {
    ...views,

    async create(actor, input) {
      requirePermission(actor, 'admin.write');
      const data = { ...input, ...checkPoolNetwork(input) };
      const poolId = await writing(() =>
        prisma.$transaction(async (transaction) => {
          const [nodeName = ''] = await lockNodes(transaction, [data.nodeId]);
          await requireOwnNetwork(transaction, data, null);
          const { id } = await transaction.ipPool.create({ data, select: { id: true } });
          await recordAudit(transaction, actor, {
            action: 'ip_pool.create',
            resourceType: 'ip_pool',
            resourceId: id,
            metadata: { poolName: data.name, nodeName, ...auditChanges({}, data) },
          });
          return id;
        }),
      );
      // Whoever may make a pool is shown it, whatever else he may read.
      return views.get(SYSTEM_ACTOR, poolId);
    },

    async update(actor, poolId, input) {
      requirePermission(actor, 'admin.write');
      await writing(() =>
        prisma.$transaction(async (transaction) => {
          const before = await lockPool(transaction, poolId, input.nodeId);
          const wanted = { ...before, ...withoutUndefined(input) };
          const after = { ...wanted, ...checkPoolNetwork(wanted) };
          await requireHeldStay(transaction, before, after);
          await requireOwnNetwork(transaction, after, poolId);
          const { id, createdAt, updatedAt, ...data } = after;
          const differences = auditChanges(before, data);
          if (Object.keys(differences.after).length === 0) return;
          await transaction.ipPool.update({ where: { id }, data });
          await recordAudit(transaction, actor, {
            action: 'ip_pool.update',
            resourceType: 'ip_pool',
            resourceId: poolId,
            metadata: { poolName: before.name, ...differences },
          });
        }),
      );
      return views.get(SYSTEM_ACTOR, poolId);
    },

    async delete(actor, poolId) {
      requirePermission(actor, 'admin.write');
      await prisma.$transaction(async (transaction) => {
        const pool = await lockPool(transaction, poolId);
        const held = await transaction.ipAllocation.count({ where: { poolId } });
        if (held > 0) throw new AppError('ip_pool.in_use');
        await transaction.ipPool.delete({ where: { id: poolId } });
        await recordAudit(transaction, actor, {
          action: 'ip_pool.delete',
          resourceType: 'ip_pool',
          resourceId: poolId,
          metadata: { poolName: pool.name, nodeId: pool.nodeId, cidr: pool.cidr },
        });
      });
    },
  };
}

type StoredPool = Awaited<ReturnType<typeof lockPool>>;

/**
 * The pool, with its node and the other locked: addresses are given away under the lock of the node, so nobody takes
 * one meanwhile.
 */
async function lockPool(transaction: Transaction, poolId: string, otherNodeId?: string) {
  const seen = await transaction.ipPool.findUnique({ where: { id: poolId }, select: { nodeId: true } });
  if (!seen) throw new AppError('ip_pool.not_found');
  await lockNodes(transaction, [seen.nodeId, otherNodeId ?? seen.nodeId]);
  const pool = await transaction.ipPool.findUnique({ where: { id: poolId } });
  if (!pool) throw new AppError('ip_pool.not_found');
  if (pool.nodeId !== seen.nodeId) {
    throw new AppError('ip_pool.in_use', 'Somebody moved the pool to another node meanwhile. Try again.');
  }
  return pool;
}

/** Always in the same order, so that two who want the same two never wait for each other. Answers their names. */
async function lockNodes(transaction: Transaction, nodeIds: readonly string[]): Promise<string[]> {
  const names: string[] = [];
  for (const nodeId of [...new Set(nodeIds)].sort()) {
    const [node] = await transaction.$queryRaw<{ name: string }[]>`
      SELECT "name" FROM "Node" WHERE "id" = ${nodeId} FOR UPDATE`;
    if (!node) throw new AppError('node.not_found');
    names.push(node.name);
  }
  return names;
}

/** Throws when the change would take an address, or the network that it is in, from a server that holds it. */
async function requireHeldStay(
  transaction: Transaction,
  before: StoredPool,
  after: StoredPool,
): Promise<void> {
  const held = await transaction.ipAllocation.findMany({
    where: { poolId: before.id },
    select: { ip: true },
  });
  if (held.length === 0) return;
  const changed = NETWORK_FIELDS.filter((field) => before[field] !== after[field]);
  if (changed.length > 0) {
    throw new AppError(
      'ip_pool.in_use',
      `Servers still hold addresses of this pool: ${changed.join(', ')} cannot change until they are gone.`,
    );
  }
  const [lost] = unusableIps(
    after,
    held.map(({ ip }) => ip),
  );
  if (lost === undefined) return;
  throw new AppError('ip_pool.in_use', `A server holds ${lost}, which the pool would not have any more.`);
}

/** Throws when another pool of the node, which is locked, has some of the same addresses. */
async function requireOwnNetwork(
  transaction: Transaction,
  { nodeId, cidr }: { nodeId: string; cidr: string },
  poolId: string | null,
): Promise<void> {
  const own = parseCidr(cidr);
  const others = await transaction.ipPool.findMany({
    where: { nodeId, ...(poolId !== null && { id: { not: poolId } }) },
    select: { name: true, cidr: true },
  });
  if (others.length >= POOLS_PER_NODE_MAX) {
    throw new AppError('ip_pool.invalid', `body.nodeId: a node takes at most ${POOLS_PER_NODE_MAX} pools`);
  }
  const overlapping = others.find((other) => {
    const network = parseCidr(other.cidr);
    return own && network && overlaps(own, network);
  });
  if (overlapping) {
    throw new AppError(
      'ip_pool.overlap',
      `The network overlaps with ${overlapping.cidr} of the pool "${overlapping.name}" on the same node.`,
    );
  }
}

/** A network is in one pool of its node: the database says when it is in another. */
async function writing<Result>(write: () => Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    throw isUniqueViolation(error) ? new AppError('ip_pool.name_taken') : error;
  }
}
