import type { Database } from '../../../database/client.js';
import type { UserActor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import type { Passwords } from '../../../lib/passwords.js';
import { ATTEMPTED_COLUMNS, type Attempts } from './attempts.js';

export interface PasswordCheckOptions {
  database: Database;
  passwords: Passwords;
  attempts: Attempts;
}

/** Answers the hash that the password was compared with: who changes the account makes sure that it is still this one. */
export type PasswordCheck = (actor: UserActor, password: string) => Promise<string>;

/**
 * Asks somebody who is signed in for his password once more: a stolen session must not be enough. Guessing it here
 * gets slow as at the sign-in. Throws `auth.wrong_password`.
 */
export function createPasswordCheck({ database, passwords, attempts }: PasswordCheckOptions): PasswordCheck {
  const { prisma } = database;
  return async function checkPassword(actor, password) {
    const account = await prisma.user.findUnique({
      where: { id: actor.userId },
      select: { ...ATTEMPTED_COLUMNS, passwordHash: true },
    });
    if (!account) throw new AppError('auth.invalid_token');
    const attempted = { account, emailKey: account.emailKey };
    await attempts.wait(attempted, actor.origin.ipAddress);
    if (await passwords.verify(account.passwordHash, password)) return account.passwordHash;
    await prisma.$transaction(async (transaction) => {
      await attempts.fail(transaction, attempted);
      await recordAudit(transaction, actor, {
        action: 'auth.password_refused',
        resourceType: 'user',
        resourceId: actor.userId,
      });
    });
    throw new AppError('auth.wrong_password');
  };
}
