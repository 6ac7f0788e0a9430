import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import { emailKeyOf, rethrowTaken, usernameKeyOf } from '../../lib/account-fields.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { requireNotLastAdministrator } from '../../lib/administrators.js';
import { auditChanges, recordAudit } from '../../lib/audit.js';
import { REGISTERED_ROLE } from '../../lib/built-in-roles.js';
import { isForeignKeyViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import type { Passwords } from '../../lib/passwords.js';
import type { Credentials } from './credentials.js';
import { changingAccounts, loadGivableRoles, loadTarget, requireSomebodyElse } from './protection.js';
import type { CreateUserBody, UpdateUserBody, User } from './schemas.js';
import { getUser } from './views.js';

export interface AccountChanges {
  create(actor: Actor, input: CreateUserBody): Promise<User>;
  update(actor: Actor, userId: string, input: UpdateUserBody): Promise<User>;
  delete(actor: Actor, userId: string): Promise<void>;
}

export function createAccountChanges({
  database,
  bus,
  passwords,
  credentials,
}: {
  database: Database;
  bus: Bus;
  passwords: Pick<Passwords, 'hash'>;
  credentials: Credentials;
}): AccountChanges {
  const { prisma } = database;

  return {
    async create(actor, { email, username, password, roleIds }) {
      requirePermission(actor, 'admin.write');
      const passwordHash = await passwords.hash(password);
      return writing(() =>
        changingAccounts(prisma, actor, async (change) => {
          const { transaction } = change;
          const roles = await loadGivableRoles(
            change,
            roleIds ? { id: { in: roleIds } } : { name: REGISTERED_ROLE },
          );
          const { id } = await transaction.user.create({
            data: {
              email,
              emailKey: emailKeyOf(email),
              username,
              usernameKey: usernameKeyOf(username),
              passwordHash,
              roles: { create: roles.map((role) => ({ roleId: role.id })) },
            },
            select: { id: true },
          });
          const metadata = { email, username, roles: roles.map(({ name }) => name) };
          await recordAudit(transaction, change.actor, {
            action: 'user.create',
            resourceType: 'user',
            resourceId: id,
            metadata,
          });
          return getUser(transaction, id);
        }),
      );
    },

    async update(actor, userId, { email, username, isDisabled }) {
      const { user, ended } = await writing(() =>
        changingAccounts(prisma, actor, async (change) => {
          const { transaction } = change;
          const target = await loadTarget(change, userId);
          const isDisabling = isDisabled === true && target.disabledAt === null;
          const isEnabling = isDisabled === false && target.disabledAt !== null;
          const changes = auditChanges(
            { ...target, isDisabled: target.disabledAt !== null },
            { email, username, isDisabled },
          );
          if (Object.keys(changes.after).length === 0)
            return { user: await getUser(transaction, userId), ended: null };
          // His own e-mail is changed by who knows his password, and nobody locks himself out.
          if (isDisabling || 'email' in changes.after) requireSomebodyElse(actor, userId);
          if (isDisabling) await requireNotLastAdministrator(transaction, userId);
          await transaction.user.update({
            where: { id: userId },
            data: {
              ...(email !== undefined && { email, emailKey: emailKeyOf(email) }),
              ...(username !== undefined && { username, usernameKey: usernameKeyOf(username) }),
              ...(isDisabling && { disabledAt: new Date() }),
              ...(isEnabling && { disabledAt: null }),
            },
            select: { id: true },
          });
          const ended = isDisabling ? await credentials.end(transaction, userId, { keys: 'kept' }) : null;
          await recordAudit(transaction, change.actor, {
            action: isDisabling ? 'user.disable' : isEnabling ? 'user.enable' : 'user.update',
            resourceType: 'user',
            resourceId: userId,
            metadata: { username: target.username, ...changes },
          });
          return { user: await getUser(transaction, userId), ended };
        }),
      );
      if (ended) credentials.announceEnded(ended);
      else bus.emit('access.changed', { userId });
      return user;
    },

    async delete(actor, userId) {
      requireSomebodyElse(actor, userId);
      const ended = await writing(() =>
        changingAccounts(prisma, actor, async (change) => {
          const { transaction } = change;
          const { email, username, roles } = await loadTarget(change, userId);
          await requireNotLastAdministrator(transaction, userId);
          const ended = await credentials.end(transaction, userId, { keys: 'removed' });
          await transaction.user.delete({ where: { id: userId }, select: { id: true } });
          const metadata = { email, username, roles: roles.map(({ name }) => name) };
          await recordAudit(transaction, change.actor, {
            action: 'user.delete',
            resourceType: 'user',
            resourceId: userId,
            metadata,
          });
          return ended;
        }),
      );
      credentials.announceEnded(ended);
    },
  };
}

/** The database knows who was first, and who still owns a server. */
async function writing<Result>(write: () => Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    if (isForeignKeyViolation(error, 'Server_ownerId_fkey')) throw new AppError('user.owns_servers');
    return rethrowTaken(error);
  }
}
