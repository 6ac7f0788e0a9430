import { randomBytes } from 'node:crypto';

/**
 * For a row that Prisma does not insert: it looks like those that Prisma makes. Signing in writes its rows in SQL of
 * its own: with Prisma's it took more of the processor than hashing the password.
 */
export function createRowId(): string {
  return `c${randomBytes(12).toString('hex')}`;
}
