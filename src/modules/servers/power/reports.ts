import type { Pool } from 'pg';
import type { Log } from '../../../lib/log.js';
import type { AgentMessageOf } from '../../../protocol/agent-messages.js';
import { NO_ACTION, type ServerState, type ServerStates } from '../state.js';
import { giveUp } from './actions.js';
import { auditDiskLimit } from './disk-limit.js';
import { observe } from './observation.js';
import type { CommandResults } from './results.js';
import type { StopIfBlocked } from './stop-if-blocked.js';

export interface ServerReports {
  /** False when the server is not on this node or cannot have come to this state: nothing was changed. */
  recordState(nodeId: string, update: AgentMessageOf<'server_state_update'>): Promise<boolean>;
  /** The answer to a command; one that nobody waits for any more changes nothing. */
  recordResult(nodeId: string, result: AgentMessageOf<'command_result'>): Promise<void>;
  /** Frees the servers whose action no agent answered in time. A tick; answers how many there were. */
  expireActions(now: Date): Promise<number>;
}

/** What agents answer when they have nothing that could be started: it has to be installed again. */
const NOT_INSTALLED = 'server.not_installed';
/** Servers looked at in one tick; the others wait for the next. */
const EXPIRED_MAX = 100;

export interface ReportDependencies {
  pool: Pool;
  states: ServerStates;
  results: CommandResults;
  stopIfBlocked: StopIfBlocked;
  log: Log;
}

export function createServerReports(dependencies: ReportDependencies): ServerReports {
  const { pool, states, results, stopIfBlocked, log } = dependencies;
  return {
    async recordState(nodeId, { serverId, state, ...rest }) {
      // The panel's alone: no agent sets it, and none can clear it either.
      if (state === 'suspended') return false;
      const observed = { observation: { ...rest, state }, source: 'report', now: new Date() } as const;
      const changed = await states.change(
        serverId,
        (server) => (server.nodeId === nodeId ? observe(server, observed) : null),
        auditDiskLimit(rest),
      );
      if (changed && changed.before.status !== state) {
        log.info({ serverId, nodeId, from: changed.before.status, to: state }, 'server state changed');
      }
      // It was suspended while it started.
      if (changed) await stopIfBlocked(changed.after);
      return changed !== null;
    },

    async recordResult(nodeId, result) {
      results.settle(nodeId, result);
      // Not one of ours, and PostgreSQL does not take it.
      if (result.commandId.includes('\0')) return;
      const { rows } = await pool.query<{ id: string }>(
        `SELECT "id" FROM "Server" WHERE "nodeId" = $1 AND "activeCommandId" = $2 AND "activeAction" <> 'delete'`,
        [nodeId, result.commandId],
      );
      const serverId = rows[0]?.id;
      if (!serverId) return;
      if (!result.ok) {
        log.warn({ serverId, nodeId, code: result.code }, 'the agent refused a command');
      }
      await states.change(serverId, (server) =>
        server.activeCommandId === result.commandId ? afterResult(server, result) : null,
      );
    },

    async expireActions(now) {
      // While a node is away nobody can say what became of the action: it is looked at when the node is back.
      const { rows } = await pool.query<{ id: string }>(
        `SELECT s."id" FROM "Server" s JOIN "Node" n ON n."id" = s."nodeId"
         WHERE s."activeActionExpiresAt" <= $1 AND n."isOnline" LIMIT ${EXPIRED_MAX}`,
        [now],
      );
      for (const { id } of rows) {
        const changed = await states.change(id, (server) => expire(server, now));
        if (!changed) continue;
        const { activeAction, nodeId } = changed.before;
        log.warn({ serverId: id, nodeId, action: activeAction }, 'an agent never answered a command');
      }
      return rows.length;
    },
  };
}

function afterResult(
  server: ServerState,
  { ok, code, message }: AgentMessageOf<'command_result'>,
): ServerState {
  if (ok) {
    // "Carried out" beside a state in between: the report that ends it is still to come.
    const isBetween = server.status === 'installing' || server.status === 'stopping';
    return isBetween ? server : { ...server, ...NO_ACTION };
  }
  const reason = (message ?? code ?? 'The agent refused the command.').replaceAll('\0', '');
  const known = code === NOT_INSTALLED ? { ...server, installedAt: null } : server;
  if (server.status !== 'starting') return giveUp(known, reason);
  // It was only the panel that called it `starting`; the agent did not even try.
  return { ...giveUp(known, reason), status: 'stopped', desiredState: 'stopped', statusReason: reason };
}

function expire(server: ServerState, now: Date): ServerState | null {
  const isExpired = server.activeActionExpiresAt !== null && server.activeActionExpiresAt <= now;
  if (!isExpired) return null;
  return giveUp(server, `The agent never said how the ${server.activeAction} ended.`);
}
