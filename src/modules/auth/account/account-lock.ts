import type { Prisma } from '../../../generated/prisma/client.js';

/**
 * Until the transaction ends nobody else changes this account or what is counted for it, and no login of it
 * completes. Answers whether there is such an account and it is active.
 */
export async function lockAccount(transaction: Prisma.TransactionClient, userId: string): Promise<boolean> {
  const rows = await transaction.$queryRaw<{ isActive: boolean }[]>`
    SELECT "disabledAt" IS NULL AS "isActive" FROM "User" WHERE "id" = ${userId} FOR NO KEY UPDATE`;
  return rows[0]?.isActive ?? false;
}
