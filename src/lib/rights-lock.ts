import type { Actor } from './actor.js';
import { type AdministratorsTransaction, lockAdministrators } from './administrators.js';
import { AppError } from './errors.js';

const CURRENT_RIGHTS = `
  SELECT ARRAY(
    SELECT DISTINCT unnest(r."permissions")
    FROM "UserRole" ur JOIN "Role" r ON r."id" = ur."roleId"
    WHERE ur."userId" = u."id"
  ) AS "permissions"
  FROM "User" u WHERE u."id" = $1 AND u."disabledAt" IS NULL`;

/**
 * Begins a change of accounts, roles or who has them: until the transaction ends nobody else, in any panel, makes
 * one. Answers the actor with the rights that he has at this moment, which somebody may have taken from him since
 * his request came. Throws `auth.invalid_token` when there is no such user any more.
 */
export async function lockRights(transaction: AdministratorsTransaction, actor: Actor): Promise<Actor> {
  await lockAdministrators(transaction);
  if (actor.kind === 'system') return actor;
  const [user] = await transaction.$queryRawUnsafe<{ permissions: string[] }[]>(CURRENT_RIGHTS, actor.userId);
  if (!user) throw new AppError('auth.invalid_token');
  return { ...actor, permissions: new Set(user.permissions) };
}
