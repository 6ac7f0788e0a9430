import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { countIps, freeIps, type IpRange } from '../../lib/ip-range.js';
import { containsText } from '../../lib/like.js';
import { type Page, type PageQuery, pageRange } from '../../lib/schemas.js';
import type {
  Counts,
  IpAvailability,
  IpAvailabilityQuery,
  IpPool,
  IpPoolAllocation,
  ListIpPoolsQuery,
} from './schemas.js';

export interface IpPoolViews {
  list(actor: Actor, query: ListIpPoolsQuery): Promise<Page<IpPool>>;
  get(actor: Actor, poolId: string): Promise<IpPool>;
  allocations(actor: Actor, poolId: string, query: PageQuery): Promise<Page<IpPoolAllocation>>;
  /** Which addresses a new server on the node could have: for those who may create one. */
  availability(actor: Actor, nodeId: string, query: IpAvailabilityQuery): Promise<IpAvailability[]>;
}

const COLUMNS = {
  include: { node: { select: { name: true } }, _count: { select: { allocations: true } } },
} as const;
type Row = Prisma.IpPoolGetPayload<typeof COLUMNS>;

export function createIpPoolViews({ prisma }: { prisma: PrismaClient }): IpPoolViews {
  return {
    async list(actor, { nodeId, search, ...page }) {
      requirePermission(actor, 'admin.read');
      const where = { ...(nodeId !== undefined && { nodeId }), ...(search && namedLike(search)) };
      const [pools, total] = await Promise.all([
        prisma.ipPool.findMany({
          where,
          orderBy: [{ name: 'asc' }, { id: 'asc' }],
          ...pageRange(page),
          ...COLUMNS,
        }),
        prisma.ipPool.count({ where }),
      ]);
      return { items: pools.map(present), total };
    },

    async get(actor, poolId) {
      requirePermission(actor, 'admin.read');
      const pool = await prisma.ipPool.findUnique({ where: { id: poolId }, ...COLUMNS });
      if (!pool) throw new AppError('ip_pool.not_found');
      return present(pool);
    },

    async allocations(actor, poolId, query) {
      requirePermission(actor, 'admin.read');
      const pool = await prisma.ipPool.findUnique({ where: { id: poolId }, select: { id: true } });
      if (!pool) throw new AppError('ip_pool.not_found');
      const [rows, total] = await Promise.all([
        prisma.ipAllocation.findMany({
          where: { poolId },
          select: { ip: true, serverId: true, createdAt: true, server: { select: { name: true } } },
          orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
          ...pageRange(query),
        }),
        prisma.ipAllocation.count({ where: { poolId } }),
      ]);
      return { items: rows.map(({ server, ...row }) => ({ ...row, serverName: server.name })), total };
    },

    async availability(actor, nodeId, { networkName, limit }) {
      requirePermission(actor, 'server.create');
      const node = await prisma.node.findUnique({
        where: { id: nodeId },
        select: {
          ipPools: {
            where: networkName === undefined ? {} : { networkName },
            include: { allocations: { select: { ip: true } } },
            orderBy: [{ name: 'asc' }, { id: 'asc' }],
          },
        },
      });
      if (!node) throw new AppError('node.not_found');
      return node.ipPools.map((pool) => ({
        poolId: pool.id,
        name: pool.name,
        networkName: pool.networkName,
        driver: pool.driver,
        cidr: pool.cidr,
        ...countsOf(pool, pool.allocations.length),
        free: freeIps(pool, new Set(pool.allocations.map(({ ip }) => ip)), limit),
      }));
    },
  };
}

function namedLike(search: string): Prisma.IpPoolWhereInput {
  const text = containsText(search);
  return { OR: [{ name: text }, { description: text }, { networkName: text }, { cidr: text }] };
}

function present({ node, _count, ...pool }: Row): IpPool {
  return { ...pool, nodeName: node.name, addresses: countsOf(pool, _count.allocations) };
}

function countsOf(range: IpRange, used: number): Counts {
  const { total, reserved } = countIps(range);
  return {
    total: toSafeNumber(total),
    used,
    reserved: toSafeNumber(reserved),
    available: toSafeNumber(total - reserved - BigInt(used)),
  };
}

/** JSON has no numbers that large which every client could read. */
function toSafeNumber(count: bigint): number {
  if (count < 0n) return 0;
  return count > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : Number(count);
}
