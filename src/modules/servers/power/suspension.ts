import type { Pool } from 'pg';
import type { AgentGateway } from '../../../gateway/gateway.js';
import type { Actor } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import { Capability } from '../../../protocol/agent-messages.js';
import type { ServerAccess } from '../access.js';
import type { ServerState, ServerStates } from '../state.js';
import type { StopIfBlocked } from './stop-if-blocked.js';
import type { Suspension } from './suspension-schemas.js';

export interface ServerSuspension {
  /** Nobody but who may suspend does anything with the server from now on, and it is stopped. */
  suspend(actor: Actor, serverId: string, reason: string | null): Promise<Suspension>;
  unsuspend(actor: Actor, serverId: string): Promise<Suspension>;
  /** Stops servers that are up although they must not be: their node was away, or the panel died. A tick. */
  stopBlocked(now: Date): Promise<void>;
}

export interface SuspensionDependencies {
  pool: Pool;
  agents: AgentGateway;
  access: ServerAccess;
  states: ServerStates;
  stopIfBlocked: StopIfBlocked;
}

/** Only what has not changed for a while: an agent that refuses is not asked without end. */
const SETTLED_AFTER_MS = 10_000;
/** Servers looked at in one tick; the others wait for the next. */
const STOPPED_AT_ONCE_MAX = 100;

const FIND_RUNNING = `
  SELECT s."id" FROM "Server" s JOIN "Node" n ON n."id" = s."nodeId"
  WHERE (s."suspendedAt" IS NOT NULL OR s."deletionRequestedAt" IS NOT NULL) AND n."isOnline"
    AND (s."status" IN ('starting', 'running', 'stopping') OR (s."status" = 'crashed' AND s."desiredState" = 'running'))
    AND (s."activeAction" IS NULL OR s."activeActionExpiresAt" <= $1)
    AND greatest(s."statusChangedAt", s."suspendedAt", s."deletionRequestedAt") <= $2
  ORDER BY s."statusChangedAt" LIMIT ${STOPPED_AT_ONCE_MAX}`;

export function createServerSuspension(dependencies: SuspensionDependencies): ServerSuspension {
  const { pool, agents, access, states, stopIfBlocked } = dependencies;
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
      return { id: serverId, status: 'stopped', ...cleared };
    },

    async stopBlocked(now) {
      const settledBefore = new Date(now.getTime() - SETTLED_AFTER_MS);
      const { rows } = await pool.query<{ id: string }>(FIND_RUNNING, [now, settledBefore]);
      for (const { id } of rows) {
        const server = await states.get(id);
        if (server && agents.isConnected(server.nodeId)) await stopIfBlocked(server);
      }
    },
  };
}

/** It stays down until somebody starts it, unless it was being started when it was suspended. */
function stateAfter({ status, activeAction, desiredState }: ServerState) {
  const isBeingStarted = activeAction === 'start' || activeAction === 'restart';
  return {
    status: status === 'crashed' ? ('stopped' as const) : status,
    desiredState: isBeingStarted ? desiredState : ('stopped' as const),
  };
}
