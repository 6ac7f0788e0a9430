import type { Pool } from 'pg';
import type { ServerStatus } from '../../generated/prisma/enums.js';
import { type Actor, hasPermission, isLetThrough } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { covers, isGranted, isRoleOnly, type Permission } from '../../lib/permissions.js';

/** A server as far as rights need it. */
export interface AccessibleServer {
  id: string;
  uuid: string;
  name: string;
  nodeId: string;
  ownerId: string;
  status: ServerStatus;
  suspendedAt: Date | null;
  deletionRequestedAt: Date | null;
}

export interface ServerAccess {
  /**
   * The server, if the actor may do this to it. Who may not even read it is told `server.not_found`, as for an
   * id that does not exist; who may read it but not do this, `permission.denied`; when it is suspended and
   * the action is blocked by that, `server.suspended`; when it is about to be deleted, `server.being_deleted`.
   */
  authorise(actor: Actor, serverId: string, permission: Permission): Promise<AccessibleServer>;
  /** Those of the rights for which `authorise` would answer the server. Throws its error for the first if there are none. */
  authoriseSome<Right extends Permission>(
    actor: Actor,
    serverId: string,
    permissions: readonly [Right, ...Right[]],
  ): Promise<{ server: AccessibleServer; permitted: Set<Right> }>;
  /** The entries of a list of rights that the actor does not hold on the server himself. */
  notHeldOn(actor: Actor, server: AccessibleServer, entries: readonly string[]): Promise<string[]>;
}

/** What suspension does not block. */
const READ_ONLY: ReadonlySet<Permission> = new Set<Permission>([
  'server.read',
  'server.logs.read',
  'file.read',
  'backup.read',
  'task.read',
  'database.read',
  'member.read',
  'activity.read',
]);

/** What suspension does not block for those who may suspend. */
const DESPITE_SUSPENSION: ReadonlySet<Permission> = new Set<Permission>(['server.suspend', 'server.delete']);

const LOAD = `
  SELECT s."id", s."uuid", s."name", s."nodeId", s."ownerId", s."status", s."suspendedAt",
    s."deletionRequestedAt", a."permissions" AS "memberPermissions"
  FROM "Server" s
  LEFT JOIN "ServerAccess" a ON a."serverId" = s."id" AND a."userId" = $2
  WHERE s."id" = $1`;

type Row = AccessibleServer & { memberPermissions: string[] | null };

export function createServerAccess({ pool }: { pool: Pool }): ServerAccess {
  async function load(actor: Actor, serverId: string): Promise<Row> {
    const userId = actor.kind === 'user' ? actor.userId : null;
    const { rows } = await pool.query<Row>({
      name: 'server-access',
      text: LOAD,
      values: [serverId, userId],
    });
    if (!rows[0]) throw new AppError('server.not_found');
    return rows[0];
  }

  async function find(actor: Actor, serverId: string) {
    const { memberPermissions, ...server } = await load(actor, serverId);
    const members = new Set(memberPermissions ?? []);
    const may = (wanted: Permission) => {
      if (hasPermission(actor, wanted)) return true;
      const isOwnersOrMembers = isOwner(actor, server) || isGranted(members, wanted);
      return isOwnersOrMembers && !isRoleOnly(wanted) && isLetThrough(actor, wanted);
    };
    const refusal = (permission: Permission): AppError | null => {
      if (may(permission)) return findUnusable(actor, server, permission);
      return new AppError(may('server.read') ? 'permission.denied' : 'server.not_found');
    };
    return { server, refusal };
  }

  return {
    async authorise(actor, serverId, permission) {
      const { server, refusal } = await find(actor, serverId);
      const error = refusal(permission);
      if (error) throw error;
      return server;
    },

    async authoriseSome(actor, serverId, permissions) {
      const { server, refusal } = await find(actor, serverId);
      const permitted = new Set(permissions.filter((permission) => refusal(permission) === null));
      const error = refusal(permissions[0]);
      if (permitted.size === 0 && error) throw error;
      return { server, permitted };
    },

    async notHeldOn(actor, { id }, entries) {
      const { memberPermissions, ...server } = await load(actor, id);
      if (actor.kind === 'system') return [];
      const held = isOwner(actor, server)
        ? new Set(['*'])
        : new Set([...actor.permissions, ...(memberPermissions ?? [])]);
      const { narrowedTo } = actor;
      return entries.filter(
        (entry) => !covers(held, entry) || (narrowedTo !== null && !covers(narrowedTo, entry)),
      );
    },
  };
}

function isOwner(actor: Actor, { ownerId }: AccessibleServer): boolean {
  return actor.kind === 'user' && actor.userId === ownerId;
}

function findUnusable(actor: Actor, server: AccessibleServer, permission: Permission): AppError | null {
  if (READ_ONLY.has(permission)) return null;
  if (server.deletionRequestedAt && permission !== 'server.delete') {
    return new AppError('server.being_deleted');
  }
  const isExempt = DESPITE_SUSPENSION.has(permission) && hasPermission(actor, 'server.suspend');
  return server.suspendedAt && !isExempt ? new AppError('server.suspended') : null;
}
