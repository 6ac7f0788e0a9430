import type { Pool } from 'pg';
import type { Bus } from '../../events.js';
import type { DesiredState, PowerAction, ServerStatus } from '../../generated/prisma/enums.js';
import type { Actor } from '../../lib/actor.js';
import { type AuditEntry, recordAudit } from '../../lib/audit.js';
import { inTransaction } from '../../lib/transaction.js';
import { shownStatus } from '../../protocol/client-messages.js';

/** How a server is, what is wanted of it and what is being done about it. */
export interface ServerState {
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
  readonly nodeId: string;
  /** The last change, of whatever is not only measured. */
  readonly updatedAt: Date;
  status: ServerStatus;
  desiredState: DesiredState;
  statusReason: string | null;
  exitCode: number | null;
  oomKilled: boolean | null;
  startedAt: Date | null;
  installedAt: Date | null;
  containerId: string | null;
  crashCount: number;
  lastCrashAt: Date | null;
  activeAction: PowerAction | null;
  activeCommandId: string | null;
  activeActionExpiresAt: Date | null;
  suspendedAt: Date | null;
  suspendedByUserId: string | null;
  suspensionReason: string | null;
  deletionRequestedAt: Date | null;
}

/** What goes into the audit log with a change; about which server is known. */
export interface StateAudit {
  actor: Actor;
  entry: Omit<AuditEntry, 'resourceType' | 'resourceId' | 'serverId'>;
}

export const NO_ACTION = {
  activeAction: null,
  activeCommandId: null,
  activeActionExpiresAt: null,
} as const satisfies Partial<ServerState>;

export interface ServerStates {
  /**
   * The only way a server's state changes: `decide` is given it under a row lock, which keeps the order of changes
   * across panel instances, and answers what it is now, or null to leave it alone. Subscribers are told
   * after the commit. Null when there is no such server or it was left alone.
   */
  change(
    serverId: string,
    decide: (server: ServerState) => ServerState | null,
    /** Given, the change is written into the audit log with it, also when it changes no column. */
    audit?: StateAudit | ((before: ServerState, after: ServerState) => StateAudit | null),
  ): Promise<{ before: ServerState; after: ServerState } | null>;
  get(serverId: string): Promise<ServerState | null>;
  ofNode(nodeId: string): Promise<ServerState[]>;
}

const COLUMNS = `"id", "uuid", "name", "nodeId", "updatedAt", "status", "desiredState", "statusReason", "exitCode", "oomKilled", "startedAt",
  "installedAt", "containerId", "crashCount", "lastCrashAt", "activeAction", "activeCommandId", "activeActionExpiresAt",
  "suspendedAt", "suspendedByUserId", "suspensionReason", "deletionRequestedAt"`;

const SAVE = `
  UPDATE "Server"
  SET "status" = $2, "desiredState" = $3, "statusReason" = $4, "exitCode" = $5, "oomKilled" = $6, "startedAt" = $7,
    "installedAt" = $8, "containerId" = $9, "crashCount" = $10, "lastCrashAt" = $11, "activeAction" = $12,
    "activeCommandId" = $13, "activeActionExpiresAt" = $14, "suspendedAt" = $15, "suspendedByUserId" = $16,
    "suspensionReason" = $17, "deletionRequestedAt" = $18, "updatedAt" = now(),
    "statusChangedAt" = CASE WHEN "status" = $2 THEN "statusChangedAt" ELSE now() END
  WHERE "id" = $1`;

export function createServerStates({ pool, bus }: { pool: Pool; bus: Bus }): ServerStates {
  return {
    async change(serverId, decide, audit) {
      const changed = await inTransaction(pool, async (client) => {
        const { rows } = await client.query<ServerState>(
          `SELECT ${COLUMNS} FROM "Server" WHERE "id" = $1 FOR UPDATE`,
          [serverId],
        );
        const before = rows[0];
        const after = before && decide(before);
        if (!before || !after) return null;
        const audited = typeof audit === 'function' ? audit(before, after) : audit;
        if (audited) await recordAudit(client, audited.actor, about(before, audited.entry));
        if (isSame(before, after)) return { before, after: before };
        await client.query({ name: 'server-state-save', text: SAVE, values: values(after) });
        return { before, after };
      });
      if (changed) publish(bus, changed.before, changed.after);
      return changed;
    },
    async get(serverId) {
      const { rows } = await pool.query<ServerState>(`SELECT ${COLUMNS} FROM "Server" WHERE "id" = $1`, [
        serverId,
      ]);
      return rows[0] ?? null;
    },
    async ofNode(nodeId) {
      const { rows } = await pool.query<ServerState>(`SELECT ${COLUMNS} FROM "Server" WHERE "nodeId" = $1`, [
        nodeId,
      ]);
      return rows;
    },
  };
}

function about({ id, name }: ServerState, entry: StateAudit['entry']): AuditEntry {
  const metadata = { serverName: name, ...entry.metadata };
  return { ...entry, metadata, resourceType: 'server', resourceId: id, serverId: id };
}

function values(server: ServerState): unknown[] {
  return [
    server.id,
    server.status,
    server.desiredState,
    server.statusReason,
    server.exitCode,
    server.oomKilled,
    server.startedAt,
    server.installedAt,
    server.containerId,
    server.crashCount,
    server.lastCrashAt,
    server.activeAction,
    server.activeCommandId,
    server.activeActionExpiresAt,
    server.suspendedAt,
    server.suspendedByUserId,
    server.suspensionReason,
    server.deletionRequestedAt,
  ];
}

function isSame(before: ServerState, after: ServerState): boolean {
  const old = values(before);
  return values(after).every((value, index) => {
    const other = old[index];
    return value instanceof Date && other instanceof Date
      ? value.getTime() === other.getTime()
      : value === other;
  });
}

function publish(bus: Bus, before: ServerState, after: ServerState): void {
  const state = shownStatus(after);
  const previousState = shownStatus(before);
  if (state === previousState) return;
  bus.emit('server.stateChanged', {
    serverId: after.id,
    nodeId: after.nodeId,
    state,
    previousState,
    reason: after.statusReason,
    exitCode: after.exitCode,
    oomKilled: after.oomKilled,
  });
}
