import type { Bus } from '../../../events.js';
import type { Prisma, PrismaClient } from '../../../generated/prisma/client.js';
import type { Actor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import type { Nodes } from '../../nodes/service.js';
import type { ServerAccess } from '../access.js';
import { isBusy } from '../power/actions.js';
import { wasOnNode } from '../removal/deleted-row.js';
import type { ServerState } from '../state.js';
import { type LockedNode, lockNode, type Resources, requireCapacity } from './capacity.js';
import { chooseAddress } from './networks.js';
import { movePorts } from './ports.js';
import type { TransferredServer } from './transfer-schemas.js';

type Transaction = Prisma.TransactionClient;

export interface ServerTransfer {
  /**
   * Gives a server that its node has nothing of yet to another node. Throws `server.transfer_failed`,
   * `server.transfer_unavailable` for any other server, and what is in the way on the target.
   */
  transfer(actor: Actor, serverId: string, targetNodeId: string): Promise<TransferredServer>;
}

export interface TransferDependencies {
  prisma: PrismaClient;
  access: ServerAccess;
  nodes: Pick<Nodes, 'isOnline'>;
  bus: Bus;
}

type LockedServer = ServerState & Resources & { name: string; networkMode: string };

export function createServerTransfer({ prisma, access, nodes, bus }: TransferDependencies): ServerTransfer {
  return {
    async transfer(actor, serverId, targetNodeId) {
      const { nodeId } = await access.authorise(actor, serverId, 'server.transfer');
      if (nodeId === targetNodeId) throw failed('it is on this node already');
      const moved = await prisma.$transaction(async (transaction) => {
        const { source, target } = await lockBoth(transaction, nodeId, targetNodeId);
        const server = await lockServer(transaction, serverId);
        // Another transfer was faster.
        if (server.nodeId !== source.id) throw new AppError('server.busy');
        requireMovable(server);
        requireTarget(target, nodes.isOnline(target));
        await requireCapacity(transaction, target, server);
        await move(transaction, server, target);
        await record(transaction, actor, { server, source, target });
        return {
          id: serverId,
          name: server.name,
          previousNode: source.name,
          currentNode: target.name,
        };
      });
      bus.emit('server.moved', { serverId });
      return moved;
    },
  };
}

/** In the order of their ids, whichever is the source: two transfers in opposite directions do not wait for each other. */
async function lockBoth(
  transaction: Transaction,
  sourceId: string,
  targetId: string,
): Promise<{ source: LockedNode; target: LockedNode }> {
  const locked = new Map<string, LockedNode>();
  for (const id of [sourceId, targetId].sort()) locked.set(id, await lockNode(transaction, id));
  const source = locked.get(sourceId);
  const target = locked.get(targetId);
  if (!source || !target) throw new AppError('node.not_found');
  return { source, target };
}

async function lockServer(transaction: Transaction, serverId: string): Promise<LockedServer> {
  const [server] = await transaction.$queryRaw<LockedServer[]>`
    SELECT "id", "name", "nodeId", "status"::text, "installedAt", "containerId", "statusReason", "exitCode",
      "activeAction"::text, "activeActionExpiresAt", "suspendedAt", "deletionRequestedAt", "networkMode",
      "allocatedMemoryMb", "allocatedCpuCores", "allocatedDiskMb"
    FROM "Server" WHERE "id" = ${serverId} FOR UPDATE`;
  if (!server) throw new AppError('server.not_found');
  return server;
}

function requireMovable(server: LockedServer): void {
  if (server.suspendedAt) throw new AppError('server.suspended');
  if (server.deletionRequestedAt) throw new AppError('server.being_deleted');
  if (isBusy(server, new Date())) throw new AppError('server.busy');
  if (server.status !== 'stopped' && server.status !== 'crashed') throw failed('stop it first');
  // Of a command that nobody answered it is not known what it left behind.
  if (wasOnNode(server) || server.activeAction !== null) throw new AppError('server.transfer_unavailable');
}

function requireTarget(target: LockedNode, isOnline: boolean): void {
  if (target.isInMaintenance) throw new AppError('node.in_maintenance');
  if (!isOnline) throw failed('the target node is offline');
}

function failed(reason: string): AppError {
  return new AppError('server.transfer_failed', `The server cannot be transferred: ${reason}.`);
}

async function move(transaction: Transaction, server: LockedServer, target: LockedNode): Promise<void> {
  const { id: serverId, networkMode } = server;
  const address = await chooseAddress(transaction, target, { networkMode, primaryIp: null });
  await transaction.server.update({
    where: { id: serverId },
    data: { nodeId: target.id },
    select: { id: true },
  });
  await movePorts(transaction, target, { serverId, networkMode, ipAddress: address?.ip ?? null });
  await transaction.ipAllocation.deleteMany({ where: { serverId } });
  if (address) await transaction.ipAllocation.create({ data: { ...address, serverId } });
}

async function record(
  transaction: Transaction,
  actor: Actor,
  { server, source, target }: { server: LockedServer; source: LockedNode; target: LockedNode },
): Promise<void> {
  await recordAudit(transaction, actor, {
    action: 'server.transfer',
    resourceType: 'server',
    resourceId: server.id,
    serverId: server.id,
    metadata: {
      serverName: server.name,
      before: { nodeId: source.id, nodeName: source.name },
      after: { nodeId: target.id, nodeName: target.name },
    },
  });
}
