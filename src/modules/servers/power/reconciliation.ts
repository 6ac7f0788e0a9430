import { SYSTEM_ACTOR } from '../../../lib/actor.js';
import type { Log } from '../../../lib/log.js';
import type { InventoryEntry } from '../../../protocol/agent-messages.js';
import type { RemovedServers } from '../removal/removed-servers.js';
import type { RequestedRemoval } from '../removal/requested-removal.js';
import { NO_ACTION, type ServerState, type ServerStates } from '../state.js';
import { auditDiskLimit, DISK_LIMIT_CAUSE } from './disk-limit.js';
import { observe } from './observation.js';
import type { GiveOrder } from './power.js';

export interface Reconciliation {
  /**
   * Holds what the agent has against what the panel thinks: what the agent says is written, what is wanted is asked
   * for again, what was deleted while the node was away goes now. Answers the ids that it named although they are not
   * its own; they are left alone.
   * @param commandsBefore Commands under way when the agent connected: later ones it answers by itself.
   */
  reconcile(
    nodeId: string,
    inventory: readonly InventoryEntry[],
    commandsBefore: ReadonlySet<string>,
  ): Promise<string[]>;
}

type FollowUp = 'start' | 'stop' | 'kill' | null;

export interface ReconciliationDependencies {
  states: ServerStates;
  order: GiveOrder;
  removedServers: RemovedServers;
  requestedRemoval: RequestedRemoval;
  log: Log;
}

export function createReconciliation(dependencies: ReconciliationDependencies): Reconciliation {
  const { states, order, removedServers, requestedRemoval, log } = dependencies;
  return {
    async reconcile(nodeId, inventory, commandsBefore) {
      const entries = new Map(inventory.map((entry) => [entry.serverId, entry]));
      for (const known of await states.ofNode(nodeId)) {
        const entry = entries.get(known.id);
        entries.delete(known.id);
        let followUp: FollowUp = null;
        const decide = (server: ServerState) => {
          if (server.nodeId !== nodeId || isNewer(server, commandsBefore)) return null;
          followUp = entry ? chooseFollowUp(server, entry) : null;
          return entry ? found(server, entry, followUp) : missing(server);
        };
        await states.change(known.id, decide, entry && auditDiskLimit(entry));
        if (followUp) await follow(known.id, nodeId, followUp);
      }
      const removed = await removedServers.clearListed(nodeId, new Set(entries.keys()));
      await requestedRemoval.removeRequested(new Date());
      return [...entries.keys()].filter((serverId) => !removed.has(serverId));
    },
  };

  async function follow(serverId: string, nodeId: string, verb: Exclude<FollowUp, null>): Promise<void> {
    log.info({ serverId, nodeId, verb }, 'a server is not as it is wanted after its node came back');
    try {
      await order({
        actor: SYSTEM_ACTOR,
        serverId,
        nodeId,
        verb,
        because: 'The node came back.',
        whileSuspended: verb === 'start' ? 'blocked' : 'allowed',
      });
    } catch (error) {
      log.warn({ serverId, nodeId, verb, err: error }, 'could not bring a server to what is wanted');
    }
  }
}

function isNewer(server: ServerState, commandsBefore: ReadonlySet<string>): boolean {
  return server.activeCommandId !== null && !commandsBefore.has(server.activeCommandId);
}

function chooseFollowUp(server: ServerState, entry: InventoryEntry): FollowUp {
  const isUp = entry.state === 'starting' || entry.state === 'running';
  const isWanted = server.desiredState === 'running' && !server.suspendedAt;
  if (isUp && !isWanted) return server.activeAction === 'kill' ? 'kill' : 'stop';
  if (entry.state !== 'stopped' || !isWanted || !server.installedAt) return null;
  // It would be refused: somebody has to make room first.
  if (entry.cause === DISK_LIMIT_CAUSE) return null;
  // With an exit code it ran and ended by itself while nobody watched, unless it was just asked to start.
  const isAsked = server.activeAction === 'start' || server.activeAction === 'restart';
  return isAsked || (entry.exitCode ?? null) === null ? 'start' : null;
}

function found(server: ServerState, entry: InventoryEntry, followUp: FollowUp): ServerState | null {
  const after = observe(server, { observation: entry, source: 'inventory', now: new Date() });
  if (!after) return null;
  if (followUp) return { ...after, ...NO_ACTION };
  if (entry.state === 'stopped' && after.desiredState === 'running') {
    return { ...after, ...NO_ACTION, desiredState: 'stopped' };
  }
  return after;
}

/** The agent, which lists all that it has, does not list this one: it was cleared away by hand, or its disk is new. */
function missing(server: ServerState): ServerState {
  const gone = {
    ...server,
    ...NO_ACTION,
    desiredState: 'stopped',
    containerId: null,
    startedAt: null,
  } as const;
  switch (server.status) {
    case 'installing':
      return {
        ...gone,
        status: 'stopped',
        statusReason: 'The installation was lost: install the server again.',
      };
    case 'starting':
    case 'running':
      return { ...gone, status: 'crashed', statusReason: 'The node no longer has this server.' };
    case 'stopping':
      return { ...gone, status: 'stopped', statusReason: 'The node no longer has this server.' };
    default:
      return server;
  }
}
