import type { Bus } from '../../../events.js';
import type { Prisma, PrismaClient } from '../../../generated/prisma/client.js';
import type { Actor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
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
      const user = await lockUser(transaction, ownerId);
      const [server] = await transaction.$queryRaw<LockedServer[]>`
        SELECT s."name", s."ownerId", u."username" AS "ownerName"
        FROM "Server" s JOIN "User" u ON u."id" = s."ownerId"
        WHERE s."id" = ${serverId} FOR UPDATE OF s`;
      if (!server) throw new AppError('server.not_found');
      if (server.ownerId === ownerId) return null;
      if (user.isDisabled) {
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
      const oldOwnerId = await replace(actor, serverId, ownerId);
      if (oldOwnerId !== null) {
        for (const userId of [oldOwnerId, ownerId]) bus.emit('access.changed', { userId, serverId });
      }
      return views.show(serverId);
    },
  };
}

/**
 * Held until the commit, so that nobody is deleted or disabled in between. Before the server: who deletes an account
 * holds it when he comes to its memberships, one of which goes here.
 */
async function lockUser(
  transaction: Prisma.TransactionClient,
  userId: string,
): Promise<{ username: string; isDisabled: boolean }> {
  const [user] = await transaction.$queryRaw<{ username: string; isDisabled: boolean }[]>`
    SELECT "username", "disabledAt" IS NOT NULL AS "isDisabled" FROM "User" WHERE "id" = ${userId} FOR SHARE`;
  if (!user) throw new AppError('user.not_found');
  return user;
}
