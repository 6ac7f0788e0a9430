import type { Database } from '../../../database/client.js';
import type { Bus } from '../../../events.js';
import type { Prisma } from '../../../generated/prisma/client.js';
import { emailKeyOf, rethrowTaken, usernameKeyOf } from '../../../lib/account-fields.js';
import type { UserActor } from '../../../lib/actor.js';
import { lockAdministrators, requireNotLastAdministrator } from '../../../lib/administrators.js';
import { auditChanges, recordAudit } from '../../../lib/audit.js';
import { isForeignKeyViolation } from '../../../lib/database-errors.js';
import { AppError } from '../../../lib/errors.js';
import type { Passwords } from '../../../lib/passwords.js';
import { withoutUndefined } from '../../../lib/without-undefined.js';
import type { PasswordCheck } from '../sign-in/password-check.js';
import { lockOwnAccount } from './account-lock.js';
import type { ChangePasswordBody, Me, UpdateMeBody } from './account-schemas.js';
import { requireFree } from './free-names.js';
import { requireSession, type Sessions } from './sessions.js';

const COLUMNS = { id: true, email: true, username: true, createdAt: true } as const;

export interface ProfileOptions {
  database: Database;
  bus: Bus;
  passwords: Passwords;
  sessions: Sessions;
  checkPassword: PasswordCheck;
}

/** What everybody may do to his own account. */
export function createProfile({ database, bus, passwords, sessions, checkPassword }: ProfileOptions) {
  const { prisma } = database;

  async function get({ userId }: UserActor): Promise<Me> {
    const user = await prisma.user.findUnique({ where: { id: userId }, select: COLUMNS });
    if (!user) throw new AppError('auth.invalid_token');
    return user;
  }

  /** Throws `auth.wrong_password`, `auth.email_taken`, `auth.username_taken`. */
  async function update(actor: UserActor, { email, username, currentPassword }: UpdateMeBody): Promise<Me> {
    const before = await get(actor);
    const isOtherEmail = email !== undefined && email !== before.email;
    const isOtherName = username !== undefined && username !== before.username;
    if (!isOtherEmail && !isOtherName) return before;
    if (isOtherEmail) await requireCurrentPassword(actor, currentPassword);
    const keys = withoutUndefined({
      emailKey: email === undefined ? undefined : emailKeyOf(email),
      usernameKey: username === undefined ? undefined : usernameKeyOf(username),
    });
    const after = withoutUndefined({ email, username });
    await requireFree(prisma, keys, actor.userId);
    const updated = await prisma
      .$transaction(async (transaction) => {
        await lockOwnAccount(transaction, actor);
        const updated = await transaction.user.update({
          where: { id: actor.userId },
          data: { ...after, ...keys },
          select: COLUMNS,
        });
        await audit(transaction, actor, 'user.update', auditChanges(before, after));
        return updated;
      })
      .catch(rethrowTaken);
    bus.emit('access.changed', { userId: actor.userId });
    return updated;
  }

  async function requireCurrentPassword(actor: UserActor, password: string | undefined): Promise<void> {
    if (password !== undefined) await checkPassword(actor, password);
    else {
      const message = 'body.currentPassword: is needed for a change of the e-mail';
      throw new AppError('request.invalid', message);
    }
  }

  /** Ends all other sessions of the account. */
  async function changePassword(actor: UserActor, input: ChangePasswordBody): Promise<void> {
    const { userId } = actor;
    const oldHash = await checkPassword(actor, input.currentPassword);
    const passwordHash = await passwords.hash(input.newPassword);
    const ended = await prisma.$transaction(async (transaction) => {
      await lockOwnAccount(transaction, actor);
      const { count } = await transaction.user.updateMany({
        // Of two changes at once the second has compared with a password that is none any more.
        where: { id: userId, passwordHash: oldHash },
        data: { passwordHash },
      });
      if (count === 0) throw new AppError('auth.wrong_password');
      const sessionIds = await sessions.end(transaction, userId, { exceptSessionId: requireSession(actor) });
      await audit(transaction, actor, 'user.change_password', { sessionsEnded: sessionIds.length });
      return sessionIds;
    });
    sessions.publishEnded(userId, ended);
  }

  /** Throws `auth.wrong_password`, `user.owns_servers`, `user.last_administrator`. */
  async function remove(actor: UserActor, password: string): Promise<void> {
    const { userId } = actor;
    await checkPassword(actor, password);
    const ended = await prisma
      .$transaction(async (transaction) => {
        await lockAdministrators(transaction);
        await lockOwnAccount(transaction, actor);
        if ((await transaction.server.count({ where: { ownerId: userId } })) > 0) {
          throw new AppError('user.owns_servers');
        }
        await requireNotLastAdministrator(transaction, userId);
        const select = { email: true, sessions: { select: { id: true } }, apiKeys: { select: { id: true } } };
        const user = await transaction.user.delete({ where: { id: userId }, select });
        await audit(transaction, actor, 'user.delete', { username: actor.username, email: user.email });
        return user;
      })
      .catch((error: unknown) => {
        // A server was made between the look and the deletion.
        throw isForeignKeyViolation(error)
          ? new AppError('user.owns_servers', undefined, { cause: error })
          : error;
      });
    for (const { id } of ended.apiKeys) bus.emit('apiKey.revoked', { apiKeyId: id, userId });
    sessions.publishEnded(
      userId,
      ended.sessions.map(({ id }) => id),
    );
    bus.emit('access.changed', { userId });
  }

  return { get, update, changePassword, remove };
}

function audit(
  transaction: Prisma.TransactionClient,
  actor: UserActor,
  action: `user.${string}`,
  metadata: Record<string, unknown>,
): Promise<void> {
  return recordAudit(transaction, actor, {
    action,
    resourceType: 'user',
    resourceId: actor.userId,
    metadata,
  });
}
