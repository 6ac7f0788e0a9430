import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import type { Actor } from '../../lib/actor.js';
import { requireNotLastAdministrator } from '../../lib/administrators.js';
import { recordAudit } from '../../lib/audit.js';
import { changingAccounts, loadGivableRoles, loadTarget } from './protection.js';
import type { User } from './schemas.js';
import { getUser } from './views.js';

export interface RolesOfUsers {
  /** Gives a user these roles and no others. */
  setRoles(actor: Actor, userId: string, roleIds: string[]): Promise<User>;
}

export function createRolesOfUsers({ database, bus }: { database: Database; bus: Bus }): RolesOfUsers {
  const { prisma } = database;
  return {
    async setRoles(actor, userId, roleIds) {
      const user = await changingAccounts(prisma, actor, async (change) => {
        const { transaction } = change;
        const target = await loadTarget(change, userId);
        const roles = await loadGivableRoles(change, { id: { in: roleIds } });
        const taken = target.roles.filter(({ id }) => !roleIds.includes(id));
        const given = roles.filter(({ id }) => !target.roles.some((role) => role.id === id));
        if (taken.length === 0 && given.length === 0) return getUser(transaction, userId);
        if (!roles.some(({ permissions }) => permissions.includes('*'))) {
          await requireNotLastAdministrator(transaction, userId);
        }
        await transaction.userRole.deleteMany({
          where: { userId, roleId: { in: taken.map(({ id }) => id) } },
        });
        await transaction.userRole.createMany({ data: given.map(({ id: roleId }) => ({ userId, roleId })) });
        await recordAudit(transaction, change.actor, {
          action: 'user.update_roles',
          resourceType: 'user',
          resourceId: userId,
          metadata: {
            username: target.username,
            before: { roles: target.roles.map(({ name }) => name).sort() },
            after: { roles: roles.map(({ name }) => name) },
          },
        });
        return getUser(transaction, userId);
      });
      bus.emit('access.changed', { userId });
      return user;
    },
  };
}
