import { isRoleOnly, PERMISSIONS } from '../../lib/permissions.js';
import type { PermissionCatalogue } from './schemas.js';

/** What roles, API keys and members can be given. */
export function permissionCatalogue(): PermissionCatalogue {
  const permissions = PERMISSIONS.map((name) => {
    const dot = name.indexOf('.');
    return {
      name,
      resource: name.slice(0, dot),
      action: name.slice(dot + 1),
      isRoleOnly: isRoleOnly(name),
    };
  });
  const resources = new Set(permissions.map(({ resource }) => resource));
  return { permissions, wildcards: ['*', ...[...resources].map((resource) => `${resource}.*`)] };
}
