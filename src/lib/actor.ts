import { AppError } from './errors.js';
import { isGranted, type Permission } from './permissions.js';

/** Who acts. Doors make one, services ask what it may do. */
export type Actor = UserActor | SystemActor;

export interface UserActor {
  kind: 'user';
  userId: string;
  username: string;
  email: string;
  sessionId: string;
  /** From the user's roles, read from the database: they count for every server. */
  permissions: ReadonlySet<string>;
}

/** The panel itself: schedules, reconciliation. */
export interface SystemActor {
  kind: 'system';
}

export const SYSTEM_ACTOR: SystemActor = { kind: 'system' };

/** Whether a role gives the right, whatever it is about. */
export function hasPermission(actor: Actor, permission: Permission): boolean {
  return actor.kind === 'system' || isGranted(actor.permissions, permission);
}

/** Throws `permission.denied` unless a role gives the right. */
export function requirePermission(actor: Actor, permission: Permission): void {
  if (!hasPermission(actor, permission)) throw new AppError('permission.denied');
}
