import { type Actor, credentialId } from './actor.js';
import { lockAdministrators } from './administrators.js';
import { AppError } from './errors.js';
import { ROLE_PERMISSIONS } from './role-permissions.js';
import type { PrismaTransaction } from './transaction.js';

const CURRENT_RIGHTS = `
  SELECT ${ROLE_PERMISSIONS} AS "permissions"
  FROM "User" u WHERE u."id" = $1 AND u."disabledAt" IS NULL AND (
    EXISTS (SELECT FROM "Session" s WHERE s."id" = $2 AND s."userId" = u."id" AND s."revokedAt" IS NULL)
    OR EXISTS (SELECT FROM "ApiKey" k WHERE k."id" = $2 AND k."userId" = u."id"))`;

/**
 * Begins a change of accounts, roles or who has them: until the transaction ends nobody else, in any panel, makes
 * one. Answers the actor with the rights that he has at this moment, which somebody may have taken from him since
 * his request came. Throws `auth.invalid_token` when his account, or the session or API key that he asks with, has
 * ended.
 */
export async function lockRights(transaction: PrismaTransaction, actor: Actor): Promise<Actor> {
  await lockAdministrators(transaction);
  if (actor.kind === 'system') return actor;
  const [user] = await transaction.$queryRawUnsafe<{ permissions: string[] }[]>(
    CURRENT_RIGHTS,
    actor.userId,
    credentialId(actor),
  );
  if (!user) throw new AppError('auth.invalid_token');
  return { ...actor, permissions: new Set(user.permissions) };
}
