import type { Prisma } from '../../../generated/prisma/client.js';
import { createToken, hashToken } from '../../../lib/secrets.js';
import { execute, type SqlTransaction } from '../../../lib/transaction.js';
import { createRowId } from '../row-id.js';

/** Between the two steps of a login. */
export const TICKET_SECONDS = 5 * 60;
export const TICKET_TRIES = 5;
/** Logins of one account that wait for their second step; then the oldest is forgotten. */
const TICKETS_MAX = 20;

const DELETE_SURPLUS = `
  DELETE FROM "TwoFactorTicket" WHERE "userId" = $1 AND "id" NOT IN (
    SELECT "id" FROM "TwoFactorTicket" WHERE "userId" = $1 ORDER BY "createdAt" DESC, "id" DESC LIMIT $2::int
  )`;

const INSERT = `
  INSERT INTO "TwoFactorTicket" ("id", "userId", "tokenHash", "createdAt", "expiresAt")
  VALUES ($1, $2, $3, clock_timestamp(), $4::timestamptz)`;

/** For somebody whose password was right. It is good for the second step and nothing else. */
export async function createTicket(transaction: SqlTransaction, userId: string): Promise<string> {
  await execute(transaction, DELETE_SURPLUS, [userId, TICKETS_MAX - 1]);
  const ticket = createToken('ctt');
  const expiresAt = new Date(Date.now() + TICKET_SECONDS * 1000);
  await execute(transaction, INSERT, [createRowId(), userId, hashToken(ticket), expiresAt]);
  return ticket;
}

/** Takes one of the ticket's tries. Null when it has none left, has expired or never was one. */
export async function tryTicket(
  transaction: Prisma.TransactionClient,
  ticket: string,
): Promise<{ id: string; userId: string } | null> {
  const [tried] = await transaction.twoFactorTicket.updateManyAndReturn({
    where: { tokenHash: hashToken(ticket), attempts: { lt: TICKET_TRIES }, expiresAt: { gt: new Date() } },
    data: { attempts: { increment: 1 } },
    select: { id: true, userId: true },
  });
  return tried ?? null;
}
