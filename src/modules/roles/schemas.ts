import { z } from 'zod';
import { GrantedPermissions } from '../../lib/permissions.js';
import { Description, Id, Name, success, successPage, Timestamp } from '../../lib/schemas.js';

export const RoleParams = z.object({ roleId: Id });

export const CreateRoleBody = z.strictObject({
  name: Name,
  description: Description.default(''),
  permissions: GrantedPermissions,
});
export type CreateRoleBody = z.output<typeof CreateRoleBody>;

export const UpdateRoleBody = z.strictObject({
  name: Name.optional(),
  description: Description.optional(),
  /** Replaces the whole list, for everybody who has the role, at once. */
  permissions: GrantedPermissions.optional(),
});
export type UpdateRoleBody = z.output<typeof UpdateRoleBody>;

export const Role = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  /** Rights and wildcards. They count for every server. */
  permissions: z.array(z.string()),
  /** Belongs to the panel: it is neither renamed nor deleted. */
  isBuiltIn: z.boolean(),
  userCount: z.int(),
  createdAt: Timestamp,
  updatedAt: Timestamp,
});
export type Role = z.output<typeof Role>;

export const RoleResponse = success(Role);
export const RolesResponse = successPage(Role);

export const PermissionCatalogue = z.object({
  permissions: z.array(
    z.object({
      name: z.string(),
      resource: z.string(),
      action: z.string(),
      isRoleOnly: z
        .boolean()
        .describe('Only a role can give it: neither owners nor members have it, whatever their list says.'),
    }),
  ),
  wildcards: z
    .array(z.string())
    .describe('What a list may have instead of every right of a resource, or of all.'),
});
export type PermissionCatalogue = z.output<typeof PermissionCatalogue>;

export const PermissionCatalogueResponse = success(PermissionCatalogue);
