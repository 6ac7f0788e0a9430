import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import type { Prisma } from '../../generated/prisma/client.js';
import { type Actor, notHeldBy, requirePermission } from '../../lib/actor.js';
import { requireAnotherAdministrator } from '../../lib/administrators.js';
import { auditChanges, recordAudit } from '../../lib/audit.js';
import { ADMINISTRATOR_ROLE } from '../../lib/built-in-roles.js';
import { isForeignKeyViolation, isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { lockRights } from '../../lib/rights-lock.js';
import { type Page, type PageQuery, pageRange } from '../../lib/schemas.js';
import { withoutUndefined } from '../../lib/without-undefined.js';
import type { CreateRoleBody, Role, UpdateRoleBody } from './schemas.js';

export interface RolesOptions {
  database: Database;
  bus: Bus;
}

/** Nobody makes, changes or deletes a role with a right that he does not have himself. */
export interface Roles {
  list(actor: Actor, query: PageQuery): Promise<Page<Role>>;
  get(actor: Actor, roleId: string): Promise<Role>;
  create(actor: Actor, input: CreateRoleBody): Promise<Role>;
  update(actor: Actor, roleId: string, input: UpdateRoleBody): Promise<Role>;
  delete(actor: Actor, roleId: string): Promise<void>;
}

const COLUMNS = {
  id: true,
  name: true,
  description: true,
  permissions: true,
  isBuiltIn: true,
  _count: { select: { users: true } },
  createdAt: true,
  updatedAt: true,
} as const satisfies Prisma.RoleSelect;

export function createRoles({ database, bus }: RolesOptions): Roles {
  const { prisma } = database;

  /** One change of who may do what at a time, by somebody who has the rights for it at that moment. */
  async function changing<Result>(
    actor: Actor,
    work: (transaction: Prisma.TransactionClient, actor: Actor) => Promise<Result>,
  ): Promise<Result> {
    requirePermission(actor, 'admin.write');
    try {
      return await prisma.$transaction(async (transaction) => {
        const current = await lockRights(transaction, actor);
        requirePermission(current, 'admin.write');
        return work(transaction, current);
      });
    } catch (error) {
      if (isUniqueViolation(error)) throw new AppError('role.name_taken');
      throw isForeignKeyViolation(error, 'UserRole_roleId_fkey') ? new AppError('role.in_use') : error;
    }
  }

  return {
    async list(actor, query) {
      requirePermission(actor, 'admin.read');
      const [rows, total] = await Promise.all([
        prisma.role.findMany({
          select: COLUMNS,
          orderBy: [{ name: 'asc' }, { id: 'asc' }],
          ...pageRange(query),
        }),
        prisma.role.count(),
      ]);
      return { items: rows.map(present), total };
    },

    async get(actor, roleId) {
      requirePermission(actor, 'admin.read');
      return load(prisma, roleId);
    },

    create: (actor, input) =>
      changing(actor, async (transaction, current) => {
        requireHeld(current, input.permissions);
        const role = present(await transaction.role.create({ data: input, select: COLUMNS }));
        const { id, name, description, permissions } = role;
        const metadata = { name, description, permissions };
        await recordAudit(transaction, current, {
          action: 'role.create',
          resourceType: 'role',
          resourceId: id,
          metadata,
        });
        return role;
      }),

    async update(actor, roleId, input) {
      const role = await changing(actor, async (transaction, current) => {
        const before = await load(transaction, roleId);
        requireHeld(current, [...before.permissions, ...(input.permissions ?? [])]);
        const changes = auditChanges(before, input);
        if (Object.keys(changes.after).length === 0) return before;
        requireChangeable(before, changes.after);
        const row = await transaction.role.update({
          where: { id: roleId },
          data: withoutUndefined(input),
          select: COLUMNS,
        });
        // As the transaction sees it now, and whoever it is.
        if (before.permissions.includes('*')) await requireAnotherAdministrator(transaction, '');
        await recordAudit(transaction, current, {
          action: 'role.update',
          resourceType: 'role',
          resourceId: roleId,
          metadata: { name: before.name, ...changes },
        });
        return present(row);
      });
      if (input.permissions) bus.emit('access.changed', {});
      return role;
    },

    delete: (actor, roleId) =>
      changing(actor, async (transaction, current) => {
        const { name, permissions, isBuiltIn } = await load(transaction, roleId);
        requireHeld(current, permissions);
        if (isBuiltIn) throw new AppError('role.built_in');
        await transaction.role.delete({ where: { id: roleId }, select: { id: true } });
        const metadata = { name, permissions };
        await recordAudit(transaction, current, {
          action: 'role.delete',
          resourceType: 'role',
          resourceId: roleId,
          metadata,
        });
      }),
  };
}

async function load(reader: Pick<Prisma.TransactionClient, 'role'>, roleId: string): Promise<Role> {
  const row = await reader.role.findUnique({ where: { id: roleId }, select: COLUMNS });
  if (!row) throw new AppError('role.not_found');
  return present(row);
}

function present({ _count, ...role }: Prisma.RoleGetPayload<{ select: typeof COLUMNS }>): Role {
  return { ...role, userCount: _count.users };
}

function requireHeld(actor: Actor, permissions: readonly string[]): void {
  const notHeld = [...new Set(notHeldBy(actor, permissions))];
  if (notHeld.length === 0) return;
  throw new AppError(
    'permission.not_held',
    `The role has or would have rights that you do not have yourself: ${notHeld.join(', ')}.`,
  );
}

function requireChangeable({ name, isBuiltIn }: Role, changed: Record<string, unknown>): void {
  if (!isBuiltIn) return;
  if ('name' in changed) throw new AppError('role.built_in');
  // There has to be a way back in.
  if (name === ADMINISTRATOR_ROLE && 'permissions' in changed) {
    throw new AppError('role.built_in', 'The rights of this role belong to the panel: make another role.');
  }
}
