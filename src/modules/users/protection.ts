import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { type Actor, notHeldBy, requirePermission } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { lockRights } from '../../lib/rights-lock.js';

const TARGET = {
  id: true,
  email: true,
  username: true,
  disabledAt: true,
  roles: { select: { role: { select: { id: true, name: true, permissions: true } } } },
} as const satisfies Prisma.UserSelect;

export interface RoleOfUser {
  id: string;
  name: string;
  permissions: string[];
}

/** The user that something is done to. */
export interface Target {
  id: string;
  email: string;
  username: string;
  disabledAt: Date | null;
  roles: RoleOfUser[];
}

/** What a change of an account has to work with. */
export interface Change {
  transaction: Prisma.TransactionClient;
  /** The actor with the rights that he has now. */
  actor: Actor;
}

/** One change of who may do what at a time, in all panels together. Throws `permission.denied`. */
export async function changingAccounts<Result>(
  prisma: PrismaClient,
  actor: Actor,
  work: (change: Change) => Promise<Result>,
): Promise<Result> {
  requirePermission(actor, 'admin.write');
  return prisma.$transaction(async (transaction) => {
    const current = await lockRights(transaction, actor);
    requirePermission(current, 'admin.write');
    return work({ transaction, actor: current });
  });
}

/**
 * Throws `user.not_found`, and `permission.not_held` for who has a right that the actor does not have. Until the
 * transaction ends nobody else changes the account: who changes its sessions and keys has locked it first, too.
 */
export async function loadTarget({ transaction, actor }: Change, userId: string): Promise<Target> {
  await transaction.$queryRaw`SELECT FROM "User" WHERE "id" = ${userId} FOR NO KEY UPDATE`;
  const row = await transaction.user.findUnique({ where: { id: userId }, select: TARGET });
  if (!row) throw new AppError('user.not_found');
  const target = { ...row, roles: row.roles.map(({ role }) => role) };
  const notHeld = notHeldBy(actor, permissionsOf(target.roles));
  if (notHeld.length > 0) {
    throw new AppError(
      'permission.not_held',
      `You cannot change this user, who has rights that you do not have: ${notHeld.join(', ')}.`,
    );
  }
  return target;
}

/** Throws `role.not_found`, and `permission.not_held` for a role with a right that the actor does not have. */
export async function loadGivableRoles(
  { transaction, actor }: Change,
  where: { id: { in: string[] } } | { name: string },
): Promise<RoleOfUser[]> {
  const roles = await transaction.role.findMany({
    where,
    select: { id: true, name: true, permissions: true },
    orderBy: { name: 'asc' },
  });
  if ('id' in where && roles.length < where.id.in.length) throw new AppError('role.not_found');
  requireHeld(actor, roles);
  return roles;
}

function requireHeld(actor: Actor, roles: RoleOfUser[]): void {
  const notHeld = notHeldBy(actor, permissionsOf(roles));
  if (notHeld.length === 0) return;
  throw new AppError(
    'permission.not_held',
    `You cannot give or take away rights that you do not have yourself: ${notHeld.join(', ')}.`,
  );
}

/** For what everybody does to his own account elsewhere, where he has to prove who he is. */
export function requireSomebodyElse(actor: Actor, userId: string): void {
  if (actor.kind === 'user' && actor.userId === userId) throw new AppError('user.is_self');
}

function permissionsOf(roles: RoleOfUser[]): string[] {
  return [...new Set(roles.flatMap(({ permissions }) => permissions))];
}
