import { AppError } from './errors.js';
import type { PrismaTransaction } from './transaction.js';

/** Any number that no other advisory lock has. */
const LOCK = 7_306_001;

const FIND = `
  SELECT u."id" FROM "User" u
    JOIN "UserRole" ur ON ur."userId" = u."id"
    JOIN "Role" r ON r."id" = ur."roleId"
  WHERE u."disabledAt" IS NULL AND '*' = ANY(r."permissions")`;

/**
 * Until the transaction ends nobody else may take an administrator away: two who go at once, each because the other
 * is still there, would leave none. Comes before any row is locked, or two transactions could wait for each other.
 */
export async function lockAdministrators(transaction: PrismaTransaction): Promise<void> {
  await transaction.$executeRawUnsafe('SELECT pg_advisory_xact_lock($1::bigint)', LOCK);
}

/** Throws `user.last_administrator` if the user is the only one who may do everything. */
export async function requireNotLastAdministrator(
  transaction: PrismaTransaction,
  userId: string,
): Promise<void> {
  if (await isAdministrator(transaction, userId)) await requireAnotherAdministrator(transaction, userId);
}

/**
 * Throws `user.last_administrator` unless another active user has a role with `*`, as the transaction sees it now.
 * @param exceptUserId Who goes. Whether he is an administrator at all is the caller's question.
 */
export async function requireAnotherAdministrator(
  transaction: PrismaTransaction,
  exceptUserId: string,
): Promise<void> {
  const rows = await transaction.$queryRawUnsafe<unknown[]>(`${FIND} AND u."id" <> $1 LIMIT 1`, exceptUserId);
  if (rows.length === 0) throw new AppError('user.last_administrator');
}

/** Whether the user is active and has a role with `*`, as the transaction sees it now. */
async function isAdministrator(transaction: PrismaTransaction, userId: string): Promise<boolean> {
  const rows = await transaction.$queryRawUnsafe<unknown[]>(`${FIND} AND u."id" = $1 LIMIT 1`, userId);
  return rows.length > 0;
}
