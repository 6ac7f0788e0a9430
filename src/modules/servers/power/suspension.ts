import type { Pool } from 'pg';
import type { AgentGateway } from '../../../gateway/gateway.js';
import type { Actor } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import { Capability } from '../../../protocol/agent-messages.js';
import type { ServerAccess } from '../access.js';
import type { ServerState, ServerStates } from '../state.js';
import { isBusy } from './actions.js';
import { isUp, type StopIfBlocked, WAS_SUSPENDED } from './stop-if-blocked.js';
import type { Suspension } from './suspension-schemas.js';

export interface ServerSuspension {
  /** Nobody but who may suspend does anything with the server from now on, and it is stopped. */
  suspend(actor: Actor, serverId: string, reason: string | null): Promise<Suspension>;
  unsuspend(actor: Actor, serverId: string): Promise<Suspension>;
  /** Stops servers that are up although they must not be: another panel decided so, or this one died. A tick. */
  stopBlocked(now: Date): Promise<void>;
}

export interface SuspensionDependencies {
  pool: Pool;
  agents: AgentGateway;
  access: ServerAccess;
  states: ServerStates;
  stopIfBlocked: StopIfBlocked;
}

/** An agent that refuses is not asked without end. */
const ASK_AGAIN_AFTER_MS = 10_000;
/** Servers looked at in one tick; the others wait for the next. */
const STOPPED_AT_ONCE_MAX = 100;

/** A server and why it has to be down: a later suspension is another case. */
const CASE = `concat_ws(' ', "id", coalesce("suspendedAt", "deletionRequestedAt", "statusChangedAt"))`;

const FIND_RUNNING = `
  SELECT "id", ${CASE} AS "case" FROM "Server"
  WHERE "nodeId" = ANY($2) AND NOT ${CASE} = ANY($3)
    AND ("suspendedAt" IS NOT NULL OR "deletionRequestedAt" IS NOT NULL
      OR ("desiredState" = 'stopped' AND "statusReason" = $4))
    AND ("status" IN ('starting', 'running', 'stopping') OR ("status" = 'crashed' AND "desiredState" = 'running'))
    AND ("activeAction" IS NULL OR "activeActionExpiresAt" <= $1)
  ORDER BY "statusChangedAt" LIMIT ${STOPPED_AT_ONCE_MAX}`;

export function createServerSuspension(dependencies: SuspensionDependencies): ServerSuspension {
  const { pool, agents, access, states, stopIfBlocked } = dependencies;
  /** When an agent was asked in which case. */
  const askedAtMs = new Map<string, number>();
  const startsAgain = (nodeId: string) => agents.hasCapability(nodeId, Capability.crashPolicy);
  return {
    async suspend(actor, serverId, reason) {
      await access.authorise(actor, serverId, 'server.suspend');
      const suspended = {
        suspendedAt: new Date(),
        suspendedByUserId: actor.kind === 'user' ? actor.userId : null,
        suspensionReason: reason,
      };
      const changed = await states.change(
        serverId,
        (server) => {
          if (server.suspendedAt) throw new AppError('server.already_suspended');
          // Nothing will start it again, so that there is nothing to call off either.
          const staysDown = server.status === 'crashed' && !startsAgain(server.nodeId);
          return { ...server, ...suspended, ...(staysDown && { desiredState: 'stopped' }) };
        },
        { actor, entry: { action: 'server.suspend', metadata: { reason } } },
      );
      if (!changed) throw new AppError('server.not_found');
      await stopIfBlocked(changed.after);
      return { id: serverId, status: 'suspended', ...suspended };
    },

    async unsuspend(actor, serverId) {
      await access.authorise(actor, serverId, 'server.suspend');
      const cleared = { suspendedAt: null, suspendedByUserId: null, suspensionReason: null };
      const changed = await states.change(
        serverId,
        (server) => {
          if (!server.suspendedAt) throw new AppError('server.not_suspended');
          return { ...server, ...cleared, ...stateAfter(server) };
        },
        { actor, entry: { action: 'server.unsuspend' } },
      );
      if (!changed) throw new AppError('server.not_found');
      await stopIfBlocked(changed.after);
      return { id: serverId, status: 'stopped', ...cleared };
    },

    async stopBlocked(now) {
      // Those of other panels' agents are theirs.
      const nodeIds = agents.connections().map(({ nodeId }) => nodeId);
      if (nodeIds.length === 0) return;
      const nowMs = now.getTime();
      for (const [asked, atMs] of askedAtMs) {
        if (nowMs - atMs >= ASK_AGAIN_AFTER_MS) askedAtMs.delete(asked);
      }
      const values = [now, nodeIds, [...askedAtMs.keys()], WAS_SUSPENDED];
      const { rows } = await pool.query<{ id: string; case: string }>(FIND_RUNNING, values);
      for (const { id, case: asked } of rows) {
        askedAtMs.set(asked, nowMs);
        const server = await states.get(id);
        if (server) await stopIfBlocked(server);
      }
    },
  };
}

/** It stays down until somebody starts it, or goes down, unless it was being started when it was suspended. */
function stateAfter(server: ServerState) {
  const { status, activeAction, desiredState, statusReason } = server;
  const isBeingStarted = activeAction === 'start' || activeAction === 'restart';
  const wasNeverStopped = isUp(server) && status !== 'crashed' && !isBusy(server, new Date());
  return {
    status: status === 'crashed' ? ('stopped' as const) : status,
    desiredState: isBeingStarted ? desiredState : ('stopped' as const),
    statusReason: wasNeverStopped ? WAS_SUSPENDED : statusReason,
  };
}
