import { z } from 'zod';
import { Email, NewPassword, Username } from '../../lib/account-fields.js';
import { Id, PageQuery, Search, success, successPage, Timestamp } from '../../lib/schemas.js';

const ROLES_MAX = 50;

export const UserParams = z.object({ userId: Id });

const RoleIds = z
  .array(Id)
  .max(ROLES_MAX)
  .refine((ids) => new Set(ids).size === ids.length, 'names a role twice');

export const ListUsersQuery = z.strictObject({
  ...PageQuery.shape,
  /** Part of the e-mail or the username. */
  search: Search.optional(),
  roleId: Id.optional(),
  isDisabled: z.enum(['true', 'false']).optional(),
  sort: z.enum(['createdAt', 'email', 'username']).optional(),
  order: z.enum(['asc', 'desc']).optional(),
});
export type ListUsersQuery = z.output<typeof ListUsersQuery>;

export const CreateUserBody = z.strictObject({
  email: Email,
  username: Username,
  password: NewPassword,
  /** Left out: what everybody gets who registers. */
  roleIds: RoleIds.optional(),
});
export type CreateUserBody = z.output<typeof CreateUserBody>;

export const UpdateUserBody = z.strictObject({
  email: Email.optional(),
  username: Username.optional(),
  /** True ends every session at once, and API keys do not work until it is false again. */
  isDisabled: z.boolean().optional(),
});
export type UpdateUserBody = z.output<typeof UpdateUserBody>;

export const UpdateRolesBody = z.strictObject({ roleIds: RoleIds });

export const ResetPasswordBody = z
  .strictObject({
    /** Left out, one is made up. */
    password: NewPassword.optional(),
  })
  .nullish();
export type ResetPasswordBody = z.output<typeof ResetPasswordBody>;

const RoleOfUser = z.object({ id: z.string(), name: z.string(), permissions: z.array(z.string()) });

export const User = z.object({
  id: z.string(),
  email: z.string(),
  username: z.string(),
  roles: z.array(RoleOfUser),
  disabledAt: Timestamp.nullable(),
  twoFactorEnabled: z.boolean(),
  /** Servers that the user owns. */
  serverCount: z.int(),
  /** Servers of others that the user is a member of. */
  membershipCount: z.int(),
  createdAt: Timestamp,
  updatedAt: Timestamp,
});
export type User = z.output<typeof User>;

export const UserPermissions = z.object({
  userId: z.string(),
  username: z.string(),
  /** The rights do not count as long as the user is disabled. */
  disabledAt: Timestamp.nullable(),
  roles: z.array(RoleOfUser),
  granted: z
    .array(z.string())
    .describe('What the roles list, wildcards included. It counts for every server.'),
  permissions: z.array(z.string()).describe('Each right that `granted` comes to.'),
  serverCount: z.int().describe('Servers that the user owns, on which he has every right of a server.'),
  membershipCount: z.int(),
  memberships: z
    .array(z.object({ serverId: z.string(), serverName: z.string(), permissions: z.array(z.string()) }))
    .describe('What the user may do on servers of others: at most 500 of them, by name.'),
});
export type UserPermissions = z.output<typeof UserPermissions>;

export const PasswordReset = z.object({
  /** Only when it was made up, and only this once. */
  password: z.string().optional(),
  endedSessions: z.int(),
  revokedApiKeys: z.int(),
  removedSshKeys: z.int(),
});
export type PasswordReset = z.output<typeof PasswordReset>;

export const UserResponse = success(User);
export const UsersResponse = successPage(User);
export const UserPermissionsResponse = success(UserPermissions);
export const PasswordResetResponse = success(PasswordReset);
