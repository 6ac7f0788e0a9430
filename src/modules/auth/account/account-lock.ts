import type { Prisma } from '../../../generated/prisma/client.js';
import { credentialId, type UserActor } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';

/**
 * Until the transaction ends nobody else changes this account or what is counted for it, and no login of it
 * completes. Answers whether there is such an account and it is active.
 */
export async function lockAccount(transaction: Prisma.TransactionClient, userId: string): Promise<boolean> {
  const rows = await transaction.$queryRaw<{ isActive: boolean }[]>`
    SELECT "disabledAt" IS NULL AS "isActive" FROM "User" WHERE "id" = ${userId} FOR NO KEY UPDATE`;
  return rows[0]?.isActive ?? false;
}

/**
 * The same for who changes his own account, with a session that is still good at this moment: somebody may have ended
 * it since the request came, and what it would leave behind (a key, an e-mail) is what it was ended for. Throws
 * `auth.invalid_token`.
 */
export async function lockOwnAccount(transaction: Prisma.TransactionClient, actor: UserActor): Promise<void> {
  const isActive = await lockAccount(transaction, actor.userId);
  // Looked up after the lock: whoever held it until now may have ended the session.
  const session = await transaction.session.findUnique({
    where: { id: credentialId(actor), userId: actor.userId, revokedAt: null },
    select: { id: true },
  });
  if (!isActive || !session) throw new AppError('auth.invalid_token');
}
