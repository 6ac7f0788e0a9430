import { randomBytes } from 'node:crypto';
import type { Database } from '../../database/client.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { recordAudit } from '../../lib/audit.js';
import { AppError } from '../../lib/errors.js';
import type { Passwords } from '../../lib/passwords.js';
import type { Credentials, EndedCredentials } from './credentials.js';
import { changingAccounts, loadTarget, requireSomebodyElse } from './protection.js';
import type { PasswordReset, ResetPasswordBody } from './schemas.js';

const MADE_UP_PASSWORD_BYTES = 15;

/** For those who cannot get into their account any more, or should be the only ones in it. */
export interface UserSecurity {
  /** Ends whatever the user is signed in with, API keys and SSH keys included. */
  resetPassword(actor: Actor, userId: string, input: ResetPasswordBody): Promise<PasswordReset>;
  /** For who has lost his authenticator and his recovery codes. Throws `auth.two_factor_disabled`. */
  disableTwoFactor(actor: Actor, userId: string): Promise<void>;
}

export function createUserSecurity({
  database,
  credentials,
  passwords,
}: {
  database: Database;
  credentials: Credentials;
  passwords: Pick<Passwords, 'hash'>;
}): UserSecurity {
  const { prisma } = database;
  return {
    async resetPassword(actor, userId, input) {
      requirePermission(actor, 'admin.write');
      requireSomebodyElse(actor, userId);
      const password = input?.password ?? randomBytes(MADE_UP_PASSWORD_BYTES).toString('base64url');
      const passwordHash = await passwords.hash(password);
      const ended = await changingAccounts(prisma, actor, async (change) => {
        const { transaction } = change;
        const { username } = await loadTarget(change, userId);
        await transaction.user.update({
          where: { id: userId },
          data: { passwordHash, failedLogins: 0, lastFailedLoginAt: null },
          select: { id: true },
        });
        const ended = await credentials.end(transaction, userId, { keys: 'removed' });
        await recordAudit(transaction, change.actor, {
          action: 'user.reset_password',
          resourceType: 'user',
          resourceId: userId,
          metadata: { username, ...counted(ended) },
        });
        return ended;
      });
      credentials.announceEnded(ended);
      return { ...(input?.password === undefined && { password }), ...counted(ended) };
    },

    async disableTwoFactor(actor, userId) {
      requireSomebodyElse(actor, userId);
      await changingAccounts(prisma, actor, async (change) => {
        const { transaction } = change;
        const { username } = await loadTarget(change, userId);
        const { count } = await transaction.twoFactor.deleteMany({ where: { userId } });
        if (count === 0) throw new AppError('auth.two_factor_disabled');
        await transaction.recoveryCode.deleteMany({ where: { userId } });
        await transaction.twoFactorTicket.deleteMany({ where: { userId } });
        await recordAudit(transaction, change.actor, {
          action: 'user.disable_two_factor',
          resourceType: 'user',
          resourceId: userId,
          metadata: { username },
        });
      });
    },
  };
}

function counted({ sessionIds, apiKeyIds, sshKeys }: EndedCredentials) {
  return { endedSessions: sessionIds.length, revokedApiKeys: apiKeyIds.length, removedSshKeys: sshKeys };
}
