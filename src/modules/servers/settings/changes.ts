import type { Prisma, PrismaClient } from '../../../generated/prisma/client.js';
import { type Actor, hasPermission } from '../../../lib/actor.js';
import { auditChanges, recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import { readTemplate } from '../../../lib/stored-template.js';
import { withoutUndefined } from '../../../lib/without-undefined.js';
import type { ServerAccess } from '../access.js';
import { lockNode, requireCapacity } from '../placing/capacity.js';
import { checkDatabaseLimit, checkDockerImage } from '../placing/restricted-settings.js';
import type { AnnounceCrashPolicy } from '../power/crash-policy.js';
import type { AnnounceDiskLimit } from '../power/disk-limit.js';
import { storedRestartPolicy } from '../restart-policy.js';
import type { ServerDetail, UpdateServerBody } from '../schemas.js';
import type { ServerViews } from '../views.js';
import { changedNames, checkNewEnvironment } from './variables.js';

export interface ServerChanges {
  /** Resources only while the server is down, and within what its node has. */
  update(actor: Actor, serverId: string, input: UpdateServerBody): Promise<ServerDetail>;
}

export function createServerChanges({
  prisma,
  access,
  views,
  announceCrashPolicy,
  announceDiskLimit,
}: {
  prisma: PrismaClient;
  access: ServerAccess;
  views: Pick<ServerViews, 'show'>;
  announceCrashPolicy: AnnounceCrashPolicy;
  announceDiskLimit: AnnounceDiskLimit;
}): ServerChanges {
  return {
    async update(actor, serverId, input) {
      const { nodeId } = await access.authorise(actor, serverId, 'server.update');
      const changed = await prisma.$transaction(async (transaction) => {
        // The node before the server, as everywhere: two orders would be a deadlock one day.
        const namesResources = RESOURCES.some((name) => input[name] !== undefined);
        const node = namesResources ? await lockNode(transaction, nodeId) : null;
        const server = await lockServer(transaction, serverId);
        // Given to another node this very moment.
        if (node && server.nodeId !== node.id) throw new AppError('server.busy');
        checkSettings(actor, server, input);
        const changes = auditChanges<Record<string, unknown>>(server, columns(input));
        if (Object.keys(changes.after).length === 0) return [];
        if (node && RESOURCES.some((name) => name in changes.after)) {
          requireMayResize(actor);
          requireDown(server);
          await requireCapacity(transaction, node, { ...server, ...withoutUndefined(input) }, serverId);
        }
        await transaction.server.update({
          where: { id: serverId },
          data: columns(input),
          select: { id: true },
        });
        await recordAudit(transaction, actor, {
          action: 'server.update',
          resourceType: 'server',
          resourceId: serverId,
          serverId,
          metadata: { serverName: server.name, ...changes, ...changedVariables(server, input) },
        });
        return Object.keys(changes.after);
      });
      const isNewPolicy = changed.includes('restartPolicy') || changed.includes('maxCrashCount');
      if (isNewPolicy) announceCrashPolicy(serverId, { resetCrashCount: false });
      if (changed.includes('allocatedDiskMb')) announceDiskLimit(serverId);
      return views.show(serverId);
    },
  };
}

const RESOURCES = ['allocatedMemoryMb', 'allocatedCpuCores', 'allocatedDiskMb'] as const;

type LockedServer = Awaited<ReturnType<typeof lockServer>>;

async function lockServer(transaction: Prisma.TransactionClient, serverId: string) {
  await transaction.$queryRaw`SELECT FROM "Server" WHERE "id" = ${serverId} FOR UPDATE`;
  const server = await transaction.server.findUnique({
    where: { id: serverId },
    include: { template: true },
  });
  if (!server) throw new AppError('server.not_found');
  return server;
}

function checkSettings(actor: Actor, server: LockedServer, input: UpdateServerBody): void {
  const template = readTemplate(server.template);
  if (input.environment) {
    const current = server.environment as Record<string, string>;
    checkNewEnvironment({ actor, template, environment: input.environment, current });
  }
  if (input.dockerImage !== undefined) {
    checkDockerImage(actor, template, input.dockerImage, server.dockerImage);
  }
  if (input.databaseLimit !== undefined) checkDatabaseLimit(actor, input.databaseLimit, server.databaseLimit);
}

/** The host is paid by the size of the server: nobody makes his own bigger. */
function requireMayResize(actor: Actor): void {
  if (SIZING.some((permission) => hasPermission(actor, permission))) return;
  throw new AppError(
    'permission.denied',
    'The memory, CPU and disk of a server can only be changed by who may change or create every server.',
  );
}

const SIZING = ['server.update', 'server.create', 'admin.write'] as const;

function requireDown({ status, activeAction, activeActionExpiresAt }: LockedServer): void {
  if (status !== 'stopped' && status !== 'crashed') throw new AppError('server.not_stopped');
  const isBusy =
    activeAction !== null && activeActionExpiresAt !== null && activeActionExpiresAt > new Date();
  if (isBusy) throw new AppError('server.busy');
}

/** Which variables changed, but not what they are: passwords of games are among them. */
function changedVariables(server: LockedServer, { environment }: UpdateServerBody) {
  if (!environment) return {};
  return { variables: changedNames(server.environment as Record<string, string>, environment) };
}

function columns({ restartPolicy, ...input }: UpdateServerBody) {
  return {
    ...withoutUndefined(input),
    ...(restartPolicy && { restartPolicy: storedRestartPolicy(restartPolicy) }),
  };
}
