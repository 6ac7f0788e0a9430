import type { Prisma, PrismaClient } from '../../../generated/prisma/client.js';
import type { Actor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { isUniqueViolation } from '../../../lib/database-errors.js';
import { AppError } from '../../../lib/errors.js';
import { type Page, type PageQuery, pageRange } from '../../../lib/schemas.js';
import type { ServerAccess } from '../access.js';
import { lockNode } from '../placing/capacity.js';
import { choosePorts } from '../placing/ports.js';
import type { AddAllocationBody, Allocation } from './allocation-schemas.js';

/** All but the first take a stopped server: `server.not_stopped`, and `server.busy` while something is done with it. */
export interface ServerAllocations {
  allocations(actor: Actor, serverId: string, query: PageQuery): Promise<Page<Allocation>>;
  addAllocation(actor: Actor, serverId: string, input: AddAllocationBody): Promise<Allocation>;
  removeAllocation(actor: Actor, serverId: string, containerPort: number): Promise<void>;
  makePrimary(actor: Actor, serverId: string, containerPort: number): Promise<{ primaryPort: number }>;
}

/** As many as a server can be created with. */
const ALLOCATIONS_MAX = 50;

type Transaction = Prisma.TransactionClient;

interface LockedServer {
  name: string;
  nodeId: string;
  networkMode: string;
}

const COLUMNS = { containerPort: true, hostPort: true, isPrimary: true } as const;

export function createServerAllocations({
  prisma,
  access,
}: {
  prisma: PrismaClient;
  access: ServerAccess;
}): ServerAllocations {
  return {
    async allocations(actor, serverId, query) {
      await access.authorise(actor, serverId, 'server.read');
      const where = { serverId };
      const [items, total] = await Promise.all([
        prisma.allocation.findMany({
          where,
          select: COLUMNS,
          orderBy: [{ isPrimary: 'desc' }, { containerPort: 'asc' }],
          ...pageRange(query),
        }),
        prisma.allocation.count({ where }),
      ]);
      return { items, total };
    },

    async addAllocation(actor, serverId, input) {
      const { nodeId } = await access.authorise(actor, serverId, 'server.update');
      const added = prisma.$transaction((transaction) =>
        add(transaction, actor, { serverId, nodeId, input }),
      );
      return added.catch((error: unknown) => {
        if (!isUniqueViolation(error)) throw error;
        throw new AppError('allocation.port_taken', undefined, { cause: error });
      });
    },

    async removeAllocation(actor, serverId, containerPort) {
      const { nodeId } = await access.authorise(actor, serverId, 'server.update');
      await prisma.$transaction(async (transaction) => {
        const server = await lockStopped(transaction, serverId, nodeId);
        const allocation = await find(transaction, serverId, containerPort);
        if (allocation.isPrimary) throw new AppError('allocation.is_primary');
        await transaction.allocation.delete({
          where: { serverId_containerPort: { serverId, containerPort } },
        });
        await touch(transaction, serverId);
        const { hostPort } = allocation;
        await record(transaction, actor, server, serverId, 'allocation.delete', { containerPort, hostPort });
      });
    },

    async makePrimary(actor, serverId, containerPort) {
      const { nodeId } = await access.authorise(actor, serverId, 'server.update');
      await prisma.$transaction(async (transaction) => {
        const server = await lockStopped(transaction, serverId, nodeId);
        const { isPrimary } = await find(transaction, serverId, containerPort);
        if (isPrimary) return;
        // One after the other: there is never more than one.
        await transaction.allocation.updateMany({ where: { serverId }, data: { isPrimary: false } });
        await transaction.allocation.update({
          where: { serverId_containerPort: { serverId, containerPort } },
          data: { isPrimary: true },
        });
        await transaction.server.update({ where: { id: serverId }, data: { primaryPort: containerPort } });
        await record(transaction, actor, server, serverId, 'allocation.set_primary', { containerPort });
      });
      return { primaryPort: containerPort };
    },
  };
}

async function add(
  transaction: Transaction,
  actor: Actor,
  { serverId, nodeId, input }: { serverId: string; nodeId: string; input: AddAllocationBody },
): Promise<Allocation> {
  const node = await lockNode(transaction, nodeId);
  const server = await lockStopped(transaction, serverId, nodeId);
  const held = await transaction.allocation.findMany({
    where: { serverId },
    select: { containerPort: true },
  });
  const { containerPort, hostPort } = input;
  if (held.some((allocation) => allocation.containerPort === containerPort)) {
    throw new AppError('allocation.exists');
  }
  if (held.length >= ALLOCATIONS_MAX) {
    throw new AppError('allocation.too_many', `A server has at most ${ALLOCATIONS_MAX} allocations.`);
  }
  const address = await transaction.ipAllocation.findUnique({ where: { serverId }, select: { ip: true } });
  const [choice] = await choosePorts(transaction, node, {
    primaryPort: containerPort,
    portBindings: hostPort === undefined ? {} : { [containerPort]: hostPort },
    templatePorts: [],
    networkMode: server.networkMode,
    ipAddress: address?.ip ?? null,
  });
  if (!choice) throw new AppError('node.insufficient_resources');
  const allocation = await transaction.allocation.create({
    data: { ...choice, isPrimary: false, nodeId, serverId },
    select: COLUMNS,
  });
  await touch(transaction, serverId);
  const ports = { containerPort, hostPort: allocation.hostPort };
  await record(transaction, actor, server, serverId, 'allocation.create', ports);
  return allocation;
}

/** Nothing begins with the server before the commit. */
async function lockStopped(
  transaction: Transaction,
  serverId: string,
  nodeId: string,
): Promise<LockedServer> {
  const [server] = await transaction.$queryRaw<(LockedServer & { isDown: boolean; isFree: boolean })[]>`
    SELECT "name", "nodeId", "networkMode", "status" IN ('stopped', 'crashed') AS "isDown",
      ("activeAction" IS NULL OR "activeActionExpiresAt" <= now()) AS "isFree"
    FROM "Server" WHERE "id" = ${serverId} FOR UPDATE`;
  if (!server) throw new AppError('server.not_found');
  // Given to another node this very moment.
  if (server.nodeId !== nodeId) throw new AppError('server.busy');
  if (!server.isDown) throw new AppError('server.not_stopped');
  if (!server.isFree) throw new AppError('server.busy');
  return server;
}

/** Whoever is about to start the server with the ports that it had looks again. */
async function touch(transaction: Transaction, serverId: string): Promise<void> {
  await transaction.server.update({
    where: { id: serverId },
    data: { updatedAt: new Date() },
    select: { id: true },
  });
}

async function find(transaction: Transaction, serverId: string, containerPort: number): Promise<Allocation> {
  const allocation = await transaction.allocation.findUnique({
    where: { serverId_containerPort: { serverId, containerPort } },
    select: COLUMNS,
  });
  if (!allocation) throw new AppError('allocation.not_found');
  return allocation;
}

async function record(
  transaction: Transaction,
  actor: Actor,
  { name: serverName }: LockedServer,
  serverId: string,
  action: `allocation.${string}`,
  ports: Record<string, number>,
): Promise<void> {
  const metadata = { serverName, ...ports };
  const entry = { action, resourceType: 'allocation', resourceId: String(ports.containerPort), serverId };
  await recordAudit(transaction, actor, { ...entry, metadata });
}
