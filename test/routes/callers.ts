import { isGranted, isRoleOnly, PERMISSIONS, type Permission } from '../../src/lib/permissions.js';
import type { Operation } from './operations.js';
import type { Caller, World } from './world.js';

/** What the Support role holds: it sees everything and changes nothing. */
const SUPPORT = PERMISSIONS.filter((permission) => permission.endsWith('.read'));

export type Verdict = 'allowed' | 'unauthorized' | 'forbidden' | 'hidden' | 'locked';

export const STATUS: Record<Exclude<Verdict, 'allowed'>, number> = {
  unauthorized: 401,
  forbidden: 403,
  hidden: 404,
  locked: 423,
};

/** The server that a cell of the matrix is about, and how its caller stands to it. */
export interface Standing {
  isOwner: boolean;
  memberPermissions: readonly string[] | null;
  isSuspended: boolean;
}

export interface CallerKind {
  name: string;
  /** Null: sends no token. */
  create(world: World, operation: Operation): Promise<Caller> | null;
  standing(operation: Operation): Standing;
  /** From roles, and what an API key narrows them to. */
  roles(operation: Operation): readonly string[];
  key?(operation: Operation): readonly string[];
}

const NOBODY: Standing = { isOwner: false, memberPermissions: null, isSuspended: false };
const OWNER: Standing = { ...NOBODY, isOwner: true };

function permissionOf({ access }: Operation): Permission | null {
  return (PERMISSIONS as readonly string[]).includes(access) ? (access as Permission) : null;
}

function others(operation: Operation): string[] {
  return PERMISSIONS.filter(
    (permission) => permission !== permissionOf(operation) && !isRoleOnly(permission),
  );
}

function exactly(operation: Operation): string[] {
  const permission = permissionOf(operation);
  return permission ? [permission, ...operation.needs] : ['server.read'];
}

function withRoles(name: string, roles: readonly string[], standing: Standing = NOBODY): CallerKind {
  return {
    name,
    create: (world) => world.user(roles),
    standing: () => standing,
    roles: () => roles,
  };
}

function withKey(name: string, narrowedTo: (operation: Operation) => readonly string[]): CallerKind {
  return {
    name,
    create: (world, operation) => world.apiKey(['*'], narrowedTo(operation)),
    standing: () => NOBODY,
    roles: () => ['*'],
    key: narrowedTo,
  };
}

function member(name: string, permissions: (operation: Operation) => string[]): CallerKind {
  return {
    name,
    create: (world) => world.user(),
    standing: (operation) => ({ ...NOBODY, memberPermissions: permissions(operation) }),
    roles: () => [],
  };
}

export const CALLERS: readonly CallerKind[] = [
  { name: 'anonymous', create: () => null, standing: () => NOBODY, roles: () => [] },
  withRoles('stranger', []),
  member('member with exactly that right', exactly),
  member('member with all other rights', others),
  withRoles('owner', [], OWNER),
  withRoles('Support', SUPPORT),
  withRoles('Administrator', ['*']),
  withKey('API key narrowed to that right', exactly),
  withKey('API key narrowed to all other rights', (operation) =>
    PERMISSIONS.filter((permission) => permission !== permissionOf(operation)),
  ),
  withRoles('owner of a suspended server', [], { ...OWNER, isSuspended: true }),
  withRoles('Administrator, suspended server', ['*'], { ...NOBODY, isSuspended: true }),
];

/** What suspension leaves open, and what it leaves open to those who may suspend. */
const READS = /(?:^|\.)read$/;
const DESPITE_SUSPENSION: ReadonlySet<string> = new Set(['server.suspend', 'server.delete']);

/** What the rules in the documentation say about a caller and a route: told here once more, without looking at the code. */
export function judge(kind: CallerKind, operation: Operation): Verdict {
  const { access, isAboutServer } = operation;
  if (access === 'public') return 'allowed';
  if (kind.name === 'anonymous') return 'unauthorized';
  if (access === 'session') return kind.key ? 'forbidden' : 'allowed';
  const permission = permissionOf(operation);
  if (!permission) return 'allowed';
  const standing = kind.standing(operation);
  const holds = (wanted: Permission) => {
    const isLetThrough = !kind.key || isGranted(new Set(kind.key(operation)), wanted);
    if (!isLetThrough) return false;
    if (isGranted(new Set(kind.roles(operation)), wanted)) return true;
    if (!isAboutServer || isRoleOnly(wanted)) return false;
    return standing.isOwner || isGranted(new Set(standing.memberPermissions ?? []), wanted);
  };
  if (isAboutServer && standing.isSuspended && holds(permission) && !READS.test(permission)) {
    return DESPITE_SUSPENSION.has(permission) && holds('server.suspend') ? 'allowed' : 'locked';
  }
  if (holds(permission)) return 'allowed';
  return isAboutServer && !isRoleOnly(permission) && !holds('server.read') ? 'hidden' : 'forbidden';
}
