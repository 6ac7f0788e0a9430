import { randomBytes } from 'node:crypto';
import type { AuditTransaction } from '../../lib/audit.js';

/**
 * Runs a statement in a transaction of Prisma or of `pg`. Signing in is written in these words: with Prisma's own it
 * took more of the processor than hashing the password.
 */
export async function execute(
  transaction: AuditTransaction,
  statement: string,
  values: unknown[],
): Promise<void> {
  if ('query' in transaction) await transaction.query(statement, values);
  else await transaction.$executeRawUnsafe(statement, ...values);
}

/** For a row that Prisma does not insert: it looks like those that Prisma makes. */
export function createRowId(): string {
  return `c${randomBytes(12).toString('hex')}`;
}
