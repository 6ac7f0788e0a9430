import type { Pool } from 'pg';
import type { ServerStatus } from '../../generated/prisma/enums.js';
import { type Actor, hasPermission } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { isGranted, type Permission } from '../../lib/permissions.js';

/** A server as far as rights need it. */
export interface AccessibleServer {
  id: string;
  uuid: string;
  nodeId: string;
  ownerId: string;
  status: ServerStatus;
  suspendedAt: Date | null;
}

export interface ServerAccess {
  /**
   * The server, if the actor may do this to it. Who may not even read it is told `server.not_found`, as for an
   * id that does not exist; who may read it but not do this, `permission.denied`; when it is suspended and
   * the action is blocked by that, `server.suspended`.
   */
  authorise(actor: Actor, serverId: string, permission: Permission): Promise<AccessibleServer>;
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
]);

const LOAD = `
  SELECT s."id", s."uuid", s."nodeId", s."ownerId", s."status", s."suspendedAt", a."permissions" AS "memberPermissions"
  FROM "Server" s
  LEFT JOIN "ServerAccess" a ON a."serverId" = s."id" AND a."userId" = $2
  WHERE s."id" = $1`;

export function createServerAccess({ pool }: { pool: Pool }): ServerAccess {
  return {
    async authorise(actor, serverId, permission) {
      const userId = actor.kind === 'user' ? actor.userId : null;
      const { rows } = await pool.query<AccessibleServer & { memberPermissions: string[] | null }>(LOAD, [
        serverId,
        userId,
      ]);
      const row = rows[0];
      if (!row) throw new AppError('server.not_found');
      const { memberPermissions, ...server } = row;
      const members = new Set(memberPermissions ?? []);
      const may = (wanted: Permission) =>
        hasPermission(actor, wanted) || server.ownerId === userId || isGranted(members, wanted);
      // Any right on a server implies seeing that it exists only through server.read.
      if (!may('server.read')) throw new AppError('server.not_found');
      if (!may(permission)) throw new AppError('permission.denied');
      if (server.suspendedAt && !READ_ONLY.has(permission)) throw new AppError('server.suspended');
      return server;
    },
  };
}
