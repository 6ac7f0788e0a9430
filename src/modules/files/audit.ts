import type { Pool } from 'pg';
import type { Actor } from '../../lib/actor.js';
import { recordAudit } from '../../lib/audit.js';
import type { AccessibleServer } from '../servers/access.js';

export type RecordFileChange = (
  actor: Actor,
  server: AccessibleServer,
  action: `file.${string}`,
  metadata: Record<string, unknown>,
) => Promise<void>;

/** Files are not in our database: what was done to them is written down after it was done. */
export function createFileAudit(pool: Pool): RecordFileChange {
  return (actor, { id, name }, action, metadata) =>
    recordAudit({ query: (statement, values) => pool.query(statement, values) }, actor, {
      action,
      resourceType: 'server',
      resourceId: id,
      serverId: id,
      metadata: { serverName: name, ...metadata },
    });
}
