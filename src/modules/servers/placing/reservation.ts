import { randomUUID } from 'node:crypto';
import type { Prisma, PrismaClient } from '../../../generated/prisma/client.js';
import type { Actor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { isForeignKeyViolation, isUniqueViolation } from '../../../lib/database-errors.js';
import { AppError } from '../../../lib/errors.js';
import { type LockedNode, lockNode, requireCapacity } from './capacity.js';
import { chooseAddress } from './networks.js';
import { choosePorts } from './ports.js';
import type { ServerPlan } from './server-plan.js';

type Transaction = Prisma.TransactionClient;

/**
 * Memory, CPU, disk, ports and address in one transaction that holds the node: nothing can be given away twice.
 * Answers the id of the server.
 */
export async function reserve(
  prisma: PrismaClient,
  actor: Actor,
  plan: ServerPlan,
  nodeId: string,
): Promise<string> {
  try {
    return await prisma.$transaction((transaction) => insertServer(transaction, actor, plan, nodeId));
  } catch (error) {
    throw explain(error);
  }
}

async function insertServer(
  transaction: Transaction,
  actor: Actor,
  plan: ServerPlan,
  nodeId: string,
): Promise<string> {
  const node = await lockNode(transaction, nodeId);
  if (node.isInMaintenance) throw new AppError('node.in_maintenance');
  const owner = await requireOwner(transaction, plan.ownerId);
  await requireCapacity(transaction, node, plan.resources);
  const address = await chooseAddress(transaction, node, plan.network);
  const ipAddress = address?.ip ?? null;
  const { networkMode } = plan.network;
  const ports = await choosePorts(transaction, node, { ...plan.ports, networkMode, ipAddress });
  const uuid = randomUUID();
  const { id } = await transaction.server.create({
    data: {
      ...plan.columns,
      ...plan.resources,
      uuid,
      containerName: `catalyst-${uuid.slice(0, 8)}`,
      nodeId: node.id,
      ownerId: plan.ownerId,
      primaryPort: plan.ports.primaryPort,
      networkMode,
    },
    select: { id: true },
  });
  await transaction.allocation.createMany({
    data: ports.map((port) => ({ ...port, nodeId: node.id, serverId: id })),
  });
  if (address) await transaction.ipAllocation.create({ data: { ...address, serverId: id } });
  await record(transaction, actor, { plan, node, id, owner, ipAddress });
  return id;
}

/** Held until the commit, so that nobody is disabled in between. */
async function requireOwner(transaction: Transaction, ownerId: string): Promise<{ username: string }> {
  const [owner] = await transaction.$queryRaw<{ username: string; isDisabled: boolean }[]>`
    SELECT "username", "disabledAt" IS NOT NULL AS "isDisabled" FROM "User" WHERE "id" = ${ownerId} FOR SHARE`;
  if (!owner) throw new AppError('user.not_found');
  if (owner.isDisabled) {
    throw new AppError('user.disabled', 'The user is disabled: he cannot be given a server.');
  }
  return owner;
}

async function record(
  transaction: Transaction,
  actor: Actor,
  created: {
    plan: ServerPlan;
    node: LockedNode;
    id: string;
    owner: { username: string };
    ipAddress: string | null;
  },
): Promise<void> {
  const { plan, node, id, owner, ipAddress } = created;
  await recordAudit(transaction, actor, {
    action: plan.audit.action,
    resourceType: 'server',
    resourceId: id,
    serverId: id,
    metadata: {
      serverName: plan.columns.name,
      ownerId: plan.ownerId,
      ownerName: owner.username,
      nodeId: node.id,
      nodeName: node.name,
      templateId: plan.columns.templateId,
      networkMode: plan.network.networkMode,
      ...(ipAddress !== null && { ipAddress }),
      ...plan.resources,
      ...plan.audit.metadata,
    },
  });
}

/** The template went between the check and the commit; a port or an address, by a hand that knows no locks. */
function explain(error: unknown): unknown {
  if (isForeignKeyViolation(error, 'Server_templateId_fkey')) return new AppError('template.not_found');
  if (isUniqueViolation(error, 'Allocation_nodeId_hostIp_hostPort_key')) {
    return new AppError('allocation.port_taken');
  }
  if (isUniqueViolation(error, 'IpAllocation_poolId_ip_key')) return new AppError('ip_pool.address_taken');
  return error;
}
