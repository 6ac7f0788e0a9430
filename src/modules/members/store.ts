import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { emailKeyOf } from '../../lib/account-fields.js';
import type { Actor } from '../../lib/actor.js';
import { recordAudit } from '../../lib/audit.js';
import { AppError } from '../../lib/errors.js';
import type { Member } from './schemas.js';

const MEMBERS_MAX = 100;

export const MEMBER_COLUMNS = {
  userId: true,
  permissions: true,
  createdAt: true,
  user: { select: { username: true, email: true } },
} as const;

type Row = Prisma.ServerAccessGetPayload<{ select: typeof MEMBER_COLUMNS }>;

/** The server that a member is of, as far as the audit log needs it. */
export interface MembersServer {
  id: string;
  name: string;
}

export function presentMember({ user, userId, permissions, createdAt }: Row): Member {
  return { userId, username: user.username, email: user.email, permissions, createdAt };
}

/** Each change together with its row in the audit log. */
export function createMemberStore({ prisma }: { prisma: PrismaClient }) {
  return {
    /** The id of an account. Throws `user.not_found`. */
    async findUser({ userId, email }: { userId?: string | undefined; email?: string | undefined }) {
      const user = await prisma.user.findFirst({
        where: userId === undefined ? { emailKey: emailKeyOf(email ?? '') } : { id: userId },
        select: { id: true },
      });
      if (!user) throw new AppError('user.not_found');
      return user.id;
    },

    async permissionsOf(serverId: string, userId: string): Promise<readonly string[] | null> {
      const row = await prisma.serverAccess.findUnique({
        where: { userId_serverId: { userId, serverId } },
        select: { permissions: true },
      });
      return row?.permissions ?? null;
    },

    /** The server, if the user is a member of it. */
    async serverOf(serverId: string, userId: string): Promise<MembersServer | null> {
      const row = await prisma.serverAccess.findUnique({
        where: { userId_serverId: { userId, serverId } },
        select: { server: { select: { id: true, name: true } } },
      });
      return row?.server ?? null;
    },

    insert(
      actor: Actor,
      server: MembersServer,
      { userId, permissions }: { userId: string; permissions: string[] },
    ): Promise<Member> {
      const { id: serverId } = server;
      return prisma.$transaction(async (transaction) => {
        // Held, so that nobody becomes its owner meanwhile, and that there are never too many.
        const [locked] = await transaction.$queryRaw<{ ownerId: string }[]>`
          SELECT "ownerId" FROM "Server" WHERE "id" = ${serverId} FOR UPDATE`;
        if (!locked) throw new AppError('server.not_found');
        if (locked.ownerId === userId) throw new AppError('member.is_owner');
        const members = await transaction.serverAccess.findMany({
          where: { serverId },
          select: { userId: true },
        });
        if (members.some((member) => member.userId === userId)) throw new AppError('member.exists');
        if (members.length >= MEMBERS_MAX) {
          throw new AppError('member.too_many', `A server has at most ${MEMBERS_MAX} members.`);
        }
        const row = await transaction.serverAccess.create({
          data: { serverId, userId, permissions },
          select: MEMBER_COLUMNS,
        });
        await record(transaction, actor, server, 'member.add', row, { permissions });
        return presentMember(row);
      });
    },

    /** Null when the rights are not the ones any more that were looked at. */
    update(
      actor: Actor,
      server: MembersServer,
      { userId, current, permissions }: MemberChange & { permissions: readonly string[] },
    ): Promise<Member | null> {
      return prisma.$transaction(async (transaction) => {
        const { count } = await transaction.serverAccess.updateMany({
          where: unchanged(server, { userId, current }),
          data: { permissions: [...permissions] },
        });
        if (count === 0) return null;
        const row = await transaction.serverAccess.findUniqueOrThrow({
          where: { userId_serverId: { userId, serverId: server.id } },
          select: MEMBER_COLUMNS,
        });
        const changes = { before: { permissions: current }, after: { permissions } };
        await record(transaction, actor, server, 'member.update', row, changes);
        return presentMember(row);
      });
    },

    /** Null when the rights are not the ones any more that were looked at. */
    remove(actor: Actor, server: MembersServer, change: MemberChange): Promise<true | null> {
      return prisma.$transaction(async (transaction) => {
        const where = unchanged(server, change);
        const row = await transaction.serverAccess.findFirst({ where, select: MEMBER_COLUMNS });
        const { count } = await transaction.serverAccess.deleteMany({ where });
        if (!row || count === 0) return null;
        await record(transaction, actor, server, 'member.remove', row, { permissions: row.permissions });
        return true;
      });
    },
  };
}

interface MemberChange {
  userId: string;
  /** What the member's rights were when they were looked at. */
  current: readonly string[];
}

function unchanged({ id: serverId }: MembersServer, { userId, current }: MemberChange) {
  return { serverId, userId, permissions: { equals: [...current] } };
}

async function record(
  transaction: Prisma.TransactionClient,
  actor: Actor,
  { id: serverId, name: serverName }: MembersServer,
  action: `member.${string}`,
  { userId, user }: Row,
  details: Record<string, unknown>,
): Promise<void> {
  await recordAudit(transaction, actor, {
    action,
    resourceType: 'member',
    resourceId: userId,
    serverId,
    metadata: { serverName, username: user.username, ...details },
  });
}
