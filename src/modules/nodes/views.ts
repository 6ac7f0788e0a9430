import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { type Actor, hasPermission, isLetThrough } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { containsText } from '../../lib/like.js';
import { type Page, pageRange } from '../../lib/schemas.js';
import type { Secrets } from '../../lib/secrets.js';
import { shownStatus } from '../../protocol/client-messages.js';
import type { Presence } from './presence.js';
import type { ListNodesQuery, Node, NodeDetails } from './schemas.js';

/** A node's answer names so many of its servers. */
const SERVERS_SHOWN_MAX = 500;

export interface NodeViews {
  list(actor: Actor, query: ListNodesQuery): Promise<Page<Node>>;
  /** With the secret for those who may have it. */
  get(actor: Actor, nodeId: string): Promise<NodeDetails>;
}

/** What is shown of nodes. */
export function createNodeViews(options: {
  prisma: PrismaClient;
  secrets: Secrets;
  presence: Pick<Presence, 'isOnline' | 'staleBefore'>;
}): NodeViews {
  const { prisma, secrets, presence } = options;

  function present(node: NodeRow): Node {
    return {
      ...node,
      isOnline: presence.isOnline(node),
      servers: node.servers.map(({ id, name, ...server }) => ({ id, name, status: shownStatus(server) })),
    };
  }

  function filters({ locationId, isOnline, tag, search }: ListNodesQuery): Prisma.NodeWhereInput {
    return {
      ...(locationId !== undefined && { locationId }),
      ...(tag !== undefined && { tags: { has: tag } }),
      AND: [search ? namedLike(search) : {}, isOnline === undefined ? {} : connected(isOnline)],
    };
  }

  /** The same as `presence.isOnline`, for many. */
  function connected(isOnline: boolean): Prisma.NodeWhereInput {
    const since = presence.staleBefore(new Date());
    if (isOnline) return { isOnline: true, lastSeenAt: { gte: since } };
    return { OR: [{ isOnline: false }, { lastSeenAt: null }, { lastSeenAt: { lt: since } }] };
  }

  return {
    async list(actor, query) {
      const where = filters(query);
      const [nodes, total] = await Promise.all([
        prisma.node.findMany({
          where,
          select: nodeColumns(actor),
          orderBy: orderOf(query),
          ...pageRange(query),
        }),
        prisma.node.count({ where }),
      ]);
      return { items: nodes.map(present), total };
    },

    async get(actor, nodeId) {
      const found = await prisma.node.findUnique({
        where: { id: nodeId },
        select: { ...nodeColumns(actor), secretEncrypted: true },
      });
      if (!found) throw new AppError('node.not_found');
      const { secretEncrypted, ...node } = found;
      const maySeeSecret = hasPermission(actor, 'admin.write');
      return { ...present(node), ...(maySeeSecret && { secret: secrets.open(secretEncrypted) }) };
    },
  };
}

function namedLike(search: string): Prisma.NodeWhereInput {
  const text = containsText(search);
  return { OR: [{ name: text }, { description: text }, { hostname: text }, { publicAddress: text }] };
}

function orderOf({ sort = 'name', order = 'asc' }: ListNodesQuery): Prisma.NodeOrderByWithRelationInput[] {
  if (sort === 'lastSeenAt') return [{ lastSeenAt: { sort: order, nulls: 'last' } }, { id: 'asc' }];
  return [{ [sort]: order }, { id: 'asc' }];
}

/** All that an answer shows, with no more servers than the actor may read. */
function nodeColumns(actor: Actor) {
  return {
    id: true,
    name: true,
    description: true,
    locationId: true,
    hostname: true,
    publicAddress: true,
    maxMemoryMb: true,
    maxCpuCores: true,
    maxDiskMb: true,
    memoryOverallocatePercent: true,
    cpuOverallocatePercent: true,
    diskOverallocatePercent: true,
    portRangeStart: true,
    portRangeEnd: true,
    tags: true,
    isInMaintenance: true,
    isOnline: true,
    lastSeenAt: true,
    runtime: true,
    agentVersion: true,
    capabilities: true,
    createdAt: true,
    updatedAt: true,
    servers: {
      where: readableBy(actor),
      select: { id: true, name: true, status: true, suspendedAt: true },
      orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
      take: SERVERS_SHOWN_MAX,
    },
  } satisfies Prisma.NodeSelect;
}

type NodeRow = Prisma.NodeGetPayload<{ select: ReturnType<typeof nodeColumns> }>;

function readableBy(actor: Actor): Prisma.ServerWhereInput {
  if (actor.kind === 'system' || hasPermission(actor, 'server.read')) return {};
  // An API key that does not let the right through hides the servers that its user owns, too.
  if (!isLetThrough(actor, 'server.read')) return { id: { in: [] } };
  const { userId } = actor;
  const isMember = { some: { userId, permissions: { hasSome: ['server.read', 'server.*', '*'] } } };
  return { OR: [{ ownerId: userId }, { access: isMember }] };
}
