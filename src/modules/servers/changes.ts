import type { PrismaClient } from '../../generated/prisma/client.js';
import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { readTemplate } from '../../lib/stored-template.js';
import { withoutUndefined } from '../../lib/without-undefined.js';
import type { ServerAccess } from './access.js';
import { lockNode, type Resources, requireCapacity } from './capacity.js';
import { checkEnvironment } from './environment.js';
import { storedRestartPolicy } from './restart-policy.js';
import type { ServerDetail, UpdateServerBody } from './schemas.js';
import type { ServerViews } from './views.js';

export interface ServerChanges {
  /** Resources only while the server is down, and within what its node has. */
  update(actor: Actor, serverId: string, input: UpdateServerBody): Promise<ServerDetail>;
}

export function createServerChanges({
  prisma,
  access,
  views,
}: {
  prisma: PrismaClient;
  access: ServerAccess;
  views: ServerViews;
}): ServerChanges {
  return {
    async update(actor, serverId, input) {
      const { nodeId } = await access.authorise(actor, serverId, 'server.update');
      if (input.environment) await checkNewEnvironment(prisma, actor, serverId, input.environment);
      await prisma.$transaction(async (transaction) => {
        const changesResources = RESOURCES.some((name) => input[name] !== undefined);
        // The node before the server, as everywhere: two orders would be a deadlock one day.
        const node = changesResources ? await lockNode(transaction, nodeId) : null;
        const [server] = await transaction.$queryRaw<(Resources & { status: string; isFree: boolean })[]>`
          SELECT "status"::text, "allocatedMemoryMb", "allocatedCpuCores", "allocatedDiskMb",
            ("activeAction" IS NULL OR "activeActionExpiresAt" <= now()) AS "isFree"
          FROM "Server" WHERE "id" = ${serverId} AND "nodeId" = ${nodeId} FOR UPDATE`;
        if (!server) throw new AppError('server.not_found');
        if (node) {
          const isDown = server.status === 'stopped' || server.status === 'crashed';
          if (!isDown) throw new AppError('server.not_stopped');
          if (!server.isFree) throw new AppError('server.busy');
          await requireCapacity(transaction, node, resourcesAfter(server, input), serverId);
        }
        await transaction.server.update({
          where: { id: serverId },
          data: columns(input),
          select: { id: true },
        });
      });
      return views.get(actor, serverId);
    },
  };
}

const RESOURCES = ['allocatedMemoryMb', 'allocatedCpuCores', 'allocatedDiskMb'] as const;

function resourcesAfter(server: Resources, input: UpdateServerBody): Resources {
  return {
    allocatedMemoryMb: input.allocatedMemoryMb ?? server.allocatedMemoryMb,
    allocatedCpuCores: input.allocatedCpuCores ?? server.allocatedCpuCores,
    allocatedDiskMb: input.allocatedDiskMb ?? server.allocatedDiskMb,
  };
}

async function checkNewEnvironment(
  prisma: PrismaClient,
  actor: Actor,
  serverId: string,
  environment: Record<string, string>,
): Promise<void> {
  const server = await prisma.server.findUnique({
    where: { id: serverId },
    select: { environment: true, template: true },
  });
  if (!server) throw new AppError('server.not_found');
  checkEnvironment({
    actor,
    template: readTemplate(server.template),
    environment,
    current: server.environment as Record<string, string>,
  });
}

function columns({ restartPolicy, ...input }: UpdateServerBody) {
  return {
    ...withoutUndefined(input),
    ...(restartPolicy && { restartPolicy: storedRestartPolicy(restartPolicy) }),
  };
}
