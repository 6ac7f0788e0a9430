import type { Bus } from '../../../events.js';
import type { PrismaClient } from '../../../generated/prisma/client.js';
import type { Actor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { isForeignKeyViolation } from '../../../lib/database-errors.js';
import { AppError } from '../../../lib/errors.js';
import type { ServerAccess } from '../access.js';
import type { ServerDetail } from '../schemas.js';
import type { ServerViews } from '../views.js';

export interface ServerOwnership {
  /** The old owner loses everything at once; the new one is no member any more. */
  changeOwner(actor: Actor, serverId: string, ownerId: string): Promise<ServerDetail>;
}

interface LockedServer {
  name: string;
  ownerId: string;
  ownerName: string;
}

export function createServerOwnership({
  prisma,
  access,
  views,
  bus,
}: {
  prisma: PrismaClient;
  access: ServerAccess;
  views: Pick<ServerViews, 'show'>;
  bus: Bus;
}): ServerOwnership {
  /** Answers who it was; null when nothing changes. */
  function replace(actor: Actor, serverId: string, ownerId: string): Promise<string | null> {
    return prisma.$transaction(async (transaction) => {
      const [server] = await transaction.$queryRaw<LockedServer[]>`
        SELECT s."name", s."ownerId", u."username" AS "ownerName"
        FROM "Server" s JOIN "User" u ON u."id" = s."ownerId"
        WHERE s."id" = ${serverId} FOR UPDATE OF s`;
      if (!server) throw new AppError('server.not_found');
      if (server.ownerId === ownerId) return null;
      const select = { username: true, disabledAt: true } as const;
      const user = await transaction.user.findUnique({ where: { id: ownerId }, select });
      if (!user) throw new AppError('user.not_found');
      if (user.disabledAt) {
        throw new AppError('request.invalid', 'body.ownerId: the account of the new owner is disabled');
      }
      await transaction.serverAccess.deleteMany({ where: { serverId, userId: ownerId } });
      await transaction.server.update({ where: { id: serverId }, data: { ownerId }, select: { id: true } });
      await recordAudit(transaction, actor, {
        action: 'server.change_owner',
        resourceType: 'server',
        resourceId: serverId,
        serverId,
        metadata: {
          serverName: server.name,
          before: { ownerId: server.ownerId, username: server.ownerName },
          after: { ownerId, username: user.username },
        },
      });
      return server.ownerId;
    });
  }

  return {
    async changeOwner(actor, serverId, ownerId) {
      await access.authorise(actor, serverId, 'admin.write');
      const oldOwnerId = await replace(actor, serverId, ownerId).catch((error: unknown) => {
        // The account went between the look at it and the change.
        throw isForeignKeyViolation(error)
          ? new AppError('user.not_found', undefined, { cause: error })
          : error;
      });
      if (oldOwnerId !== null) {
        for (const userId of [oldOwnerId, ownerId]) bus.emit('access.changed', { userId, serverId });
      }
      return views.show(serverId);
    },
  };
}
