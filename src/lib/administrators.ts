import { AppError } from './errors.js';

/** A transaction of Prisma. */
export interface AdministratorsTransaction {
  $executeRawUnsafe(statement: string, ...values: unknown[]): PromiseLike<unknown>;
  $queryRawUnsafe<Result>(statement: string, ...values: unknown[]): PromiseLike<Result>;
}

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
export async function lockAdministrators(transaction: AdministratorsTransaction): Promise<void> {
  await transaction.$executeRawUnsafe('SELECT pg_advisory_xact_lock($1::bigint)', LOCK);
}

/** Whether the user is active and has a role with `*`, as the transaction sees it now. */
export async function isAdministrator(
  transaction: AdministratorsTransaction,
  userId: string,
): Promise<boolean> {
  const rows = await transaction.$queryRawUnsafe<unknown[]>(`${FIND} AND u."id" = $1 LIMIT 1`, userId);
  return rows.length > 0;
}

/**
 * Throws `user.last_administrator` unless another active user has a role with `*`, as the transaction sees it now.
 * @param exceptUserId Who goes. Whether he is an administrator at all is the caller's question.
 */
export async function requireAnotherAdministrator(
  transaction: AdministratorsTransaction,
  exceptUserId: string,
): Promise<void> {
  const rows = await transaction.$queryRawUnsafe<unknown[]>(`${FIND} AND u."id" <> $1 LIMIT 1`, exceptUserId);
  if (rows.length === 0) throw new AppError('user.last_administrator');
}
