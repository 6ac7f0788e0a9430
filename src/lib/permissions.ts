import { z } from 'zod';

/** Every right there is. `*` and `resource.*` are the only wildcards. */
const CATALOGUE = {
  server: [
    'create',
    'read',
    'update',
    'delete',
    'install',
    'start',
    'stop',
    'restart',
    'kill',
    'transfer',
    'console',
    'logs.read',
    'suspend',
  ],
  file: ['read', 'write', 'delete'],
  backup: ['create', 'read', 'restore', 'delete'],
  task: ['create', 'read', 'update', 'delete', 'execute'],
  alert: ['read', 'resolve'],
  database: ['create', 'read', 'rotate', 'delete'],
  member: ['read', 'write'],
  activity: ['read'],
  admin: ['read', 'write'],
  'rate-limit': ['bypass'],
} as const;

type Catalogue = typeof CATALOGUE;
export type Permission = {
  [Resource in keyof Catalogue]: `${Resource}.${Catalogue[Resource][number]}`;
}[keyof Catalogue];

export const PERMISSIONS: readonly Permission[] = Object.entries(CATALOGUE).flatMap(([resource, actions]) =>
  actions.map((action) => `${resource}.${action}` as Permission),
);

/**
 * What only a role can give, to nobody for a single server: what costs the operator something, or is his to decide.
 * An owner who could lift a suspension would not have to pay.
 */
const ROLE_ONLY: ReadonlySet<Permission> = new Set<Permission>([
  'server.create',
  'server.transfer',
  'server.suspend',
  'admin.read',
  'admin.write',
  'rate-limit.bypass',
]);

export function isRoleOnly(permission: Permission): boolean {
  return ROLE_ONLY.has(permission);
}

const WILDCARDS = ['*', ...Object.keys(CATALOGUE).map((resource) => `${resource}.*`)];
const GRANTED_MAX = 200;

/** A right, or one of the two kinds of wildcard. */
export const GrantedPermission = z
  .string()
  .max(64)
  .refine((name) => WILDCARDS.includes(name) || isPermission(name), {
    error: ({ input }) => `"${input}" is not a permission: GET /api/admin/permissions lists them`,
  });

/** A list of rights as roles, API keys and members have it: each once. */
export const GrantedPermissions = z
  .array(GrantedPermission)
  .max(GRANTED_MAX)
  .refine((names) => new Set(names).size === names.length, 'names a permission twice');

/** The same for a member: only what can be given for a single server. */
export const MemberPermissions = GrantedPermissions.min(1).refine(
  (names) =>
    names.every((name) => name === '*' || expandPermission(name).some((right) => !isRoleOnly(right))),
  'holds a permission that only a role can give',
);

/** Whether a list of granted rights, wildcards included, contains one right. */
export function isGranted(granted: ReadonlySet<string>, wanted: Permission): boolean {
  if (granted.has(wanted) || granted.has('*')) return true;
  return granted.has(`${wanted.slice(0, wanted.indexOf('.'))}.*`);
}

/** Whether a list covers an entry of another list. A wildcard is covered by wildcards only: it grows with the catalogue. */
export function covers(granted: ReadonlySet<string>, entry: string): boolean {
  if (granted.has('*') || granted.has(entry)) return true;
  return entry !== '*' && granted.has(`${entry.slice(0, entry.indexOf('.'))}.*`);
}

/** The rights that an entry of a list stands for. */
export function expandPermission(entry: string): Permission[] {
  const granted = new Set([entry]);
  return PERMISSIONS.filter((permission) => isGranted(granted, permission));
}

function isPermission(name: string): boolean {
  return (PERMISSIONS as readonly string[]).includes(name);
}
