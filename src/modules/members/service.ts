import type { Bus } from '../../events.js';
import type { PrismaClient } from '../../generated/prisma/client.js';
import { type Actor, isLetThrough } from '../../lib/actor.js';
import { isForeignKeyViolation, isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { type Page, type PageQuery, pageRange } from '../../lib/schemas.js';
import type { AccessibleServer, ServerAccess } from '../servers/access.js';
import type { AddMemberBody, Member } from './schemas.js';
import { createMemberStore, MEMBER_COLUMNS, presentMember } from './store.js';

/** Who else may do what on a server. Nobody gives, changes or takes away a right that he does not have on it. */
export interface Members {
  list(actor: Actor, serverId: string, query: PageQuery): Promise<Page<Member>>;
  add(actor: Actor, serverId: string, input: AddMemberBody): Promise<Member>;
  update(
    actor: Actor,
    serverId: string,
    change: { userId: string; permissions: readonly string[] },
  ): Promise<Member>;
  /** A member may remove himself. */
  remove(actor: Actor, serverId: string, userId: string): Promise<void>;
}

/** How often a change is looked at again because somebody else was faster. */
const ATTEMPTS_MAX = 5;

export function createMembers({
  prisma,
  access,
  bus,
}: {
  prisma: PrismaClient;
  access: ServerAccess;
  bus: Bus;
}): Members {
  const store = createMemberStore({ prisma });

  async function requireHeld(
    actor: Actor,
    server: AccessibleServer,
    permissions: readonly string[],
  ): Promise<void> {
    const missing = await access.notHeldOn(actor, server, permissions);
    if (missing.length === 0) return;
    const names = missing.join(', ');
    throw new AppError(
      'permission.not_held',
      `You do not have these rights on the server yourself: ${names}`,
    );
  }

  /** The rights are checked before the row is locked; when they have changed since, once more. */
  async function whenUnchanged<Result>(
    { serverId, userId }: { serverId: string; userId: string },
    work: (permissions: readonly string[]) => Promise<Result | null>,
  ): Promise<Result> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const permissions = await store.permissionsOf(serverId, userId);
      if (!permissions) throw new AppError('member.not_found');
      const result = await work(permissions);
      if (result !== null) return result;
    }
    throw new AppError('server.busy', 'Somebody else is changing the rights of this member. Try again.');
  }

  return {
    async list(actor, serverId, query) {
      await access.authorise(actor, serverId, 'member.read');
      const where = { serverId };
      const [rows, total] = await Promise.all([
        prisma.serverAccess.findMany({
          where,
          select: MEMBER_COLUMNS,
          orderBy: [{ createdAt: 'asc' }, { userId: 'asc' }],
          ...pageRange(query),
        }),
        prisma.serverAccess.count({ where }),
      ]);
      return { items: rows.map(presentMember), total };
    },

    async add(actor, serverId, { permissions, ...who }) {
      const server = await access.authorise(actor, serverId, 'member.write');
      await requireHeld(actor, server, permissions);
      const userId = await store.findUser(who);
      try {
        const member = await store.insert(actor, server, { userId, permissions });
        bus.emit('access.changed', { userId, serverId });
        return member;
      } catch (error) {
        if (isUniqueViolation(error)) throw new AppError('member.exists', undefined, { cause: error });
        // The account went meanwhile.
        if (isForeignKeyViolation(error)) throw new AppError('user.not_found', undefined, { cause: error });
        throw error;
      }
    },

    async update(actor, serverId, { userId, permissions }) {
      const server = await access.authorise(actor, serverId, 'member.write');
      const member = await whenUnchanged({ serverId, userId }, async (current) => {
        await requireHeld(actor, server, differences(current, permissions));
        return store.update(actor, server, { userId, current, permissions });
      });
      bus.emit('access.changed', { userId, serverId });
      return member;
    },

    async remove(actor, serverId, userId) {
      const isSelf = actor.kind === 'user' && actor.userId === userId && isLetThrough(actor, 'member.write');
      const left = isSelf ? await store.serverOf(serverId, userId) : null;
      if (left) {
        await whenUnchanged({ serverId, userId }, (current) =>
          store.remove(actor, left, { userId, current }),
        );
      } else {
        const server = await access.authorise(actor, serverId, 'member.write');
        await whenUnchanged({ serverId, userId }, async (current) => {
          await requireHeld(actor, server, current);
          return store.remove(actor, server, { userId, current });
        });
      }
      bus.emit('access.changed', { userId, serverId });
    },
  };
}

/** What is in one list but not in the other. */
function differences(before: readonly string[], after: readonly string[]): string[] {
  return [
    ...before.filter((entry) => !after.includes(entry)),
    ...after.filter((entry) => !before.includes(entry)),
  ];
}
