import { AppError } from './errors.js';
import { covers, isGranted, type Permission } from './permissions.js';

/** Who acts. Doors make one, services ask what it may do. */
export type Actor = UserActor | SystemActor;

/** Where a request came from: for the audit log and the list of one's sessions. */
export interface Origin {
  ipAddress: string;
  userAgent: string | undefined;
}

/** What a user signed in with. */
export type Credential =
  | { kind: 'session'; sessionId: string }
  | { kind: 'api-key'; apiKeyId: string }
  | { kind: 'ssh-key'; sshKeyId: string };

export interface UserActor {
  kind: 'user';
  userId: string;
  username: string;
  email: string;
  credential: Credential;
  /** From the user's roles, read from the database: they count for every server. */
  permissions: ReadonlySet<string>;
  /** Of an API key: whatever its user may, it may no more than this. Null: not narrowed. */
  narrowedTo: ReadonlySet<string> | null;
  origin: Origin;
}

/** The panel itself: schedules, reconciliation. */
export interface SystemActor {
  kind: 'system';
}

export const SYSTEM_ACTOR: SystemActor = { kind: 'system' };

/** Of the session, API key or SSH key: no two have the same. */
export function credentialId({ credential }: Pick<UserActor, 'credential'>): string {
  if (credential.kind === 'session') return credential.sessionId;
  return credential.kind === 'api-key' ? credential.apiKeyId : credential.sshKeyId;
}

/** Whether a role gives the right, whatever it is about. */
export function hasPermission(actor: Actor, permission: Permission): boolean {
  if (actor.kind === 'system') return true;
  return isGranted(actor.permissions, permission) && isLetThrough(actor, permission);
}

/** Whether the actor's API key, if that is what he uses, lets a right of his through. */
export function isLetThrough(actor: Actor, permission: Permission): boolean {
  return actor.kind === 'system' || actor.narrowedTo === null || isGranted(actor.narrowedTo, permission);
}

/** Throws `permission.denied` unless a role gives the right. */
export function requirePermission(actor: Actor, permission: Permission): void {
  if (!hasPermission(actor, permission)) throw new AppError('permission.denied');
}

/** Those of the entries of a list (rights and wildcards) that no role of the actor covers. */
export function notHeldBy(actor: Actor, entries: readonly string[]): string[] {
  if (actor.kind === 'system') return [];
  const { permissions, narrowedTo } = actor;
  return entries.filter(
    (entry) => !covers(permissions, entry) || (narrowedTo !== null && !covers(narrowedTo, entry)),
  );
}
