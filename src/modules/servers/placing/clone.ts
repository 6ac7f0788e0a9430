import type { PrismaClient } from '../../../generated/prisma/client.js';
import type { Actor } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import { readTemplate } from '../../../lib/stored-template.js';
import { withoutUndefined } from '../../../lib/without-undefined.js';
import type { ServerAccess } from '../access.js';
import { shownRestartPolicy } from '../restart-policy.js';
import type { ServerDetail } from '../schemas.js';
import type { CloneServerBody } from './clone-schemas.js';
import type { PlaceServer } from './creation.js';
import { declaredValues } from './environment.js';
import type { Inheritance } from './server-plan.js';

export interface ServerCloning {
  /** A new server with everything of another but its files, ports, name and owner. */
  clone(actor: Actor, serverId: string, input: CloneServerBody): Promise<ServerDetail>;
}

export interface CloningDependencies {
  prisma: PrismaClient;
  access: ServerAccess;
  place: PlaceServer;
}

export function createServerCloning({ prisma, access, place }: CloningDependencies): ServerCloning {
  return {
    async clone(actor, serverId, input) {
      await access.authorise(actor, serverId, 'server.read');
      // A suspended server, or one that is about to go, is not there to be multiplied.
      await access.authorise(actor, serverId, 'server.create');
      const source = await load(prisma, serverId);
      if (!source) throw new AppError('server.not_found');
      const environment = declaredValues(
        readTemplate(source.template),
        source.environment as Record<string, string>,
      );
      return place(actor, {
        input: {
          ...withoutUndefined(input),
          name: input.name,
          description: source.description,
          templateId: source.templateId,
          allocatedMemoryMb: source.allocatedMemoryMb,
          allocatedCpuCores: source.allocatedCpuCores,
          allocatedDiskMb: source.allocatedDiskMb,
          primaryPort: source.primaryPort,
          networkMode: source.networkMode,
          environment,
          ...(source.dockerImage !== null && { dockerImage: source.dockerImage }),
          databaseLimit: source.databaseLimit,
          restartPolicy: shownRestartPolicy(source.restartPolicy),
          maxCrashCount: source.maxCrashCount,
        },
        inherited: inheritance(actor, input, { ...source, environment }),
        containerPorts: source.allocations.map(({ containerPort }) => containerPort),
        audit: {
          action: 'server.clone',
          metadata: { sourceServerId: source.id, sourceServerName: source.name },
        },
      });
    },
  };
}

function load(prisma: PrismaClient, serverId: string) {
  return prisma.server.findUnique({
    where: { id: serverId },
    include: {
      template: { select: { environment: true, variables: true, requiredVariables: true } },
      allocations: { select: { containerPort: true }, orderBy: [{ isPrimary: 'desc' }, { hostPort: 'asc' }] },
    },
  });
}

/** What an administrator allowed was allowed to the owner: somebody who may only look at the server has no part in it. */
function inheritance(
  actor: Actor,
  { ownerId }: CloneServerBody,
  source: Inheritance & { ownerId: string },
): Inheritance | undefined {
  const newOwnerId = ownerId ?? (actor.kind === 'user' ? actor.userId : undefined);
  return newOwnerId === source.ownerId ? source : undefined;
}
