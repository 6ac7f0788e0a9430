import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { AppError } from '../../lib/errors.js';
import { escapeLike } from '../../lib/like.js';
import { expandPermission, PERMISSIONS } from '../../lib/permissions.js';
import { type Page, pageRange } from '../../lib/schemas.js';
import type { ListUsersQuery, User, UserPermissions } from './schemas.js';

const MEMBERSHIPS_SHOWN_MAX = 500;

const ROLES = {
  select: { role: { select: { id: true, name: true, permissions: true } } },
  orderBy: { role: { name: 'asc' } },
} as const satisfies Prisma.User$rolesArgs;

const COLUMNS = {
  id: true,
  email: true,
  username: true,
  roles: ROLES,
  disabledAt: true,
  twoFactor: { select: { confirmedAt: true } },
  _count: { select: { servers: true, serverAccess: true } },
  createdAt: true,
  updatedAt: true,
} as const satisfies Prisma.UserSelect;

type Row = Prisma.UserGetPayload<{ select: typeof COLUMNS }>;
type Reader = Pick<PrismaClient, 'user'>;

export async function listUsers(prisma: Reader, query: ListUsersQuery): Promise<Page<User>> {
  const { sort = 'createdAt', order = 'asc' } = query;
  const where = whereOf(query);
  // What is sorted by is what is unique, so that "a" and "B" are neighbours.
  const column = { createdAt: 'createdAt', email: 'emailKey', username: 'usernameKey' }[sort];
  const [rows, total] = await Promise.all([
    prisma.user.findMany({
      where,
      select: COLUMNS,
      orderBy: [{ [column]: order }, { id: order }],
      ...pageRange(query),
    }),
    prisma.user.count({ where }),
  ]);
  return { items: rows.map(present), total };
}

/** Throws `user.not_found`. */
export async function getUser(prisma: Reader, userId: string): Promise<User> {
  const row = await prisma.user.findUnique({ where: { id: userId }, select: COLUMNS });
  if (!row) throw new AppError('user.not_found');
  return present(row);
}

/** Throws `user.not_found`. */
export async function getUserPermissions(prisma: Reader, userId: string): Promise<UserPermissions> {
  const row = await prisma.user.findUnique({
    where: { id: userId },
    select: {
      ...COLUMNS,
      serverAccess: {
        select: { serverId: true, permissions: true, server: { select: { name: true } } },
        orderBy: [{ server: { name: 'asc' } }, { serverId: 'asc' }],
        take: MEMBERSHIPS_SHOWN_MAX,
      },
    },
  });
  if (!row) throw new AppError('user.not_found');
  const { username, disabledAt, roles, serverCount, membershipCount } = present(row);
  const granted = [...new Set(roles.flatMap(({ permissions }) => permissions))].sort();
  const rights = new Set(granted.flatMap(expandPermission));
  return {
    userId,
    username,
    disabledAt,
    roles,
    granted,
    permissions: PERMISSIONS.filter((permission) => rights.has(permission)),
    serverCount,
    membershipCount,
    memberships: row.serverAccess.map(({ serverId, permissions, server }) => ({
      serverId,
      serverName: server.name,
      permissions,
    })),
  };
}

function whereOf({ search, roleId, isDisabled }: ListUsersQuery): Prisma.UserWhereInput {
  // Prisma takes % and _ for what they are to LIKE.
  const pattern = search ? escapeLike(search.normalize('NFC').toLowerCase()) : null;
  return {
    ...(pattern && { OR: [{ emailKey: { contains: pattern } }, { usernameKey: { contains: pattern } }] }),
    ...(roleId !== undefined && { roles: { some: { roleId } } }),
    ...(isDisabled !== undefined && { disabledAt: isDisabled === 'true' ? { not: null } : null }),
  };
}

function present({ roles, twoFactor, _count, ...row }: Row): User {
  return {
    id: row.id,
    email: row.email,
    username: row.username,
    roles: roles.map(({ role }) => role),
    disabledAt: row.disabledAt,
    twoFactorEnabled: twoFactor?.confirmedAt != null,
    serverCount: _count.servers,
    membershipCount: _count.serverAccess,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  };
}
