import type { Config } from '../../config.js';
import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import type { AgentGateway } from '../../gateway/gateway.js';
import type { Prisma } from '../../generated/prisma/client.js';
import { type Actor, hasPermission, requirePermission } from '../../lib/actor.js';
import { isForeignKeyViolation, isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { type Page, type PageQuery, pageRange } from '../../lib/schemas.js';
import { createToken, type Secrets } from '../../lib/secrets.js';
import { withoutUndefined } from '../../lib/without-undefined.js';
import { shownStatus } from '../../protocol/client-messages.js';
import { CloseCode } from '../../protocol/limits.js';
import type { requireRoomForServers } from '../servers/capacity.js';
import { createEnrolment } from './enrolment.js';
import { createPresence } from './presence.js';
import type { CreateNodeBody, DeploymentToken, Node, NodeDetails, UpdateNodeBody } from './schemas.js';

/** A node's answer names so many of its servers. */
const SERVERS_SHOWN_MAX = 500;

export interface NodesOptions {
  database: Database;
  secrets: Secrets;
  agents: AgentGateway;
  bus: Bus;
  /** Of the servers' module, which knows what they hold. */
  requireRoomForServers: typeof requireRoomForServers;
  config: Pick<Config, 'HEARTBEAT_INTERVAL_MS' | 'PUBLIC_URL'>;
}

export type Nodes = ReturnType<typeof createNodes>;

export function createNodes({ database, secrets, agents, bus, requireRoomForServers, config }: NodesOptions) {
  const { prisma } = database;
  const enrolment = createEnrolment({ database, secrets });
  const presence = createPresence({
    database,
    bus,
    heartbeatIntervalMs: config.HEARTBEAT_INTERVAL_MS,
  });

  function present(node: NodeRow): Node {
    return {
      ...node,
      isOnline: presence.isOnline(node),
      servers: node.servers.map(({ id, name, ...server }) => ({ id, name, status: shownStatus(server) })),
    };
  }

  /** With the secret for those who may have it. */
  function presentDetails(actor: Actor, { secretEncrypted, ...node }: SealedNodeRow): NodeDetails {
    const maySeeSecret = hasPermission(actor, 'admin.write');
    return { ...present(node), ...(maySeeSecret && { secret: secrets.open(secretEncrypted) }) };
  }

  async function load(actor: Actor, nodeId: string): Promise<SealedNodeRow> {
    const node = await prisma.node.findUnique({
      where: { id: nodeId },
      select: { ...nodeColumns(actor), secretEncrypted: true },
    });
    if (!node) throw new AppError('node.not_found');
    return node;
  }

  return {
    ...enrolment,
    ...presence,

    async list(actor: Actor, query: PageQuery): Promise<Page<Node>> {
      const [nodes, total] = await Promise.all([
        prisma.node.findMany({
          select: nodeColumns(actor),
          orderBy: [{ name: 'asc' }, { id: 'asc' }],
          ...pageRange(query),
        }),
        prisma.node.count(),
      ]);
      return { items: nodes.map(present), total };
    },

    async get(actor: Actor, nodeId: string): Promise<NodeDetails> {
      return presentDetails(actor, await load(actor, nodeId));
    },

    async create(actor: Actor, input: CreateNodeBody): Promise<NodeDetails> {
      requirePermission(actor, 'admin.write');
      requirePortRange(input);
      const secret = createToken('ctn');
      const node = await writing(() =>
        prisma.node.create({
          data: { ...input, secretEncrypted: secrets.seal(secret) },
          select: nodeColumns(actor),
        }),
      );
      return { ...present(node), secret };
    },

    /** Under the same lock as placing servers, so that a node never shrinks below what they hold. */
    async update(actor: Actor, nodeId: string, input: UpdateNodeBody): Promise<NodeDetails> {
      requirePermission(actor, 'admin.write');
      const changes = withoutUndefined(input);
      await writing(() =>
        prisma.$transaction(async (transaction) => {
          const [node] = await transaction.$queryRaw<PortRange[]>`
            SELECT "portRangeStart", "portRangeEnd" FROM "Node" WHERE "id" = ${nodeId} FOR UPDATE`;
          if (!node) throw new AppError('node.not_found');
          requirePortRange({ ...node, ...changes });
          await requireRoomForServers(transaction, nodeId, input);
          await transaction.node.update({ where: { id: nodeId }, data: changes });
        }),
      );
      return presentDetails(actor, await load(actor, nodeId));
    },

    async delete(actor: Actor, nodeId: string): Promise<void> {
      requirePermission(actor, 'admin.write');
      try {
        const { count } = await prisma.node.deleteMany({ where: { id: nodeId } });
        if (count === 0) throw new AppError('node.not_found');
      } catch (error) {
        throw isForeignKeyViolation(error) ? new AppError('node.has_servers') : error;
      }
      agents.connection(nodeId)?.close(CloseCode.unauthorized, 'The node was deleted.');
    },

    /** @param origin Of the panel as the caller reached it, for when PUBLIC_URL is not set. */
    async deploy(actor: Actor, nodeId: string, origin: string): Promise<DeploymentToken> {
      requirePermission(actor, 'admin.write');
      const { secretEncrypted } = await load(actor, nodeId);
      const createdById = actor.kind === 'user' ? actor.userId : null;
      const { token, expiresAt } = await enrolment.createDeploymentToken(nodeId, createdById);
      const base = (config.PUBLIC_URL ?? origin).replace(/\/+$/, '');
      return {
        deploymentToken: token,
        secret: secrets.open(secretEncrypted),
        deployUrl: `${base}/api/deploy/${token}`,
        expiresAt,
      };
    },
  };
}

type PortRange = { portRangeStart: number; portRangeEnd: number };

function requirePortRange(range: PortRange): void {
  if (range.portRangeStart <= range.portRangeEnd) return;
  throw new AppError('request.invalid', 'body.portRangeEnd: must not be below portRangeStart');
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
    portRangeStart: true,
    portRangeEnd: true,
    isOnline: true,
    lastSeenAt: true,
    runtime: true,
    agentVersion: true,
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
type SealedNodeRow = NodeRow & { secretEncrypted: string };

function readableBy(actor: Actor): Prisma.ServerWhereInput {
  if (actor.kind === 'system' || hasPermission(actor, 'server.read')) return {};
  const { userId } = actor;
  const isMember = { some: { userId, permissions: { hasSome: ['server.read', 'server.*', '*'] } } };
  return { OR: [{ ownerId: userId }, { access: isMember }] };
}

/** What the database refuses, in the words of this module. */
async function writing<Result>(write: () => Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    if (isUniqueViolation(error)) throw new AppError('node.name_taken');
    if (isForeignKeyViolation(error)) throw new AppError('location.not_found');
    throw error;
  }
}
