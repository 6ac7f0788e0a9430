import type { Pool } from 'pg';
import { type Actor, hasPermission, requirePermission } from '../../lib/actor.js';
import type { ServerAccess } from '../servers/access.js';
import { type AuditPage, readEntries } from './entries.js';
import type { ActivityQuery, AuditLogEntry, AuditLogQuery } from './schemas.js';

export interface AuditLogs {
  /** Newest first. */
  list(actor: Actor, query: AuditLogQuery): Promise<AuditPage>;
  /**
   * What was done to one server, newest first. Where others came from is for those who may read the whole log.
   * Throws as `ServerAccess.authorise`.
   */
  listOfServer(actor: Actor, serverId: string, query: ActivityQuery): Promise<AuditPage>;
}

export function createAuditLogs({ pool, access }: { pool: Pool; access: ServerAccess }): AuditLogs {
  return {
    async list(actor, query) {
      requirePermission(actor, 'admin.read');
      return readEntries(pool, query);
    },

    async listOfServer(actor, serverId, query) {
      await access.authorise(actor, serverId, 'activity.read');
      const { entries, nextBefore } = await readEntries(pool, { ...query, serverId });
      return { entries: entries.map((entry) => shownTo(actor, entry)), nextBefore };
    },
  };
}

function shownTo(actor: Actor, entry: AuditLogEntry): AuditLogEntry {
  const isOwn = actor.kind === 'user' && entry.userId === actor.userId;
  if (isOwn || hasPermission(actor, 'admin.read')) return entry;
  return { ...entry, ipAddress: null, userAgent: null };
}
