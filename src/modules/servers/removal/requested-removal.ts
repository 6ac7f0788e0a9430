import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { Bus } from '../../../events.js';
import type { AgentGateway } from '../../../gateway/gateway.js';
import { SYSTEM_ACTOR } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import type { Log } from '../../../lib/log.js';
import { isBusy } from '../power/actions.js';
import { NO_ACTION, type ServerStates } from '../state.js';
import { deleteServerRow } from './deleted-row.js';
import type { RemoveFromNode } from './node-removal.js';
import { holdForDeletion } from './removal.js';

export interface RequestedRemoval {
  /** Begins to carry out the deletions that waited for a node which is connected now. A tick. */
  removeRequested(now: Date): Promise<void>;
}

const UNDER_WAY_MAX = 20;
const FOUND_MAX = 200;

const FIND = `
  SELECT "id", "nodeId" FROM "Server"
  WHERE "nodeId" = ANY($2) AND "deletionRequestedAt" IS NOT NULL AND "status" IN ('stopped', 'crashed')
    AND ("activeAction" IS NULL OR "activeActionExpiresAt" <= $1)
  ORDER BY "deletionRequestedAt" LIMIT ${FOUND_MAX}`;

export function createRequestedRemoval(dependencies: {
  pool: Pool;
  agents: AgentGateway;
  bus: Bus;
  states: ServerStates;
  removeFromNode: RemoveFromNode;
  log: Log;
}): RequestedRemoval {
  const { pool, agents, bus, states, removeFromNode, log } = dependencies;
  const underWay = new Set<string>();

  async function remove(serverId: string): Promise<void> {
    const commandId = randomUUID();
    const held = await states.change(serverId, (server) => {
      const isWanted = server.deletionRequestedAt !== null && !isBusy(server, new Date());
      return isWanted ? holdForDeletion(server, commandId) : null;
    });
    if (!held) return;
    const { uuid: serverUuid, nodeId } = held.after;
    try {
      await removeFromNode({ serverId, serverUuid, nodeId }, commandId);
    } catch (error) {
      // Who refused is not asked again before the hold ends by itself.
      const isAway = error instanceof AppError && error.code === 'node.offline';
      if (isAway) {
        await states.change(serverId, (server) =>
          server.activeCommandId === commandId ? { ...server, ...NO_ACTION } : null,
        );
      }
      throw error;
    }
    await deleteServerRow(pool, SYSTEM_ACTOR, held.after, { isForced: false });
    bus.emit('server.deleted', { serverId });
    log.info({ serverId, nodeId }, 'a server was deleted that had waited for its node');
  }

  return {
    async removeRequested(now) {
      // Those of other panels' agents are theirs.
      const nodeIds = agents.connections().map(({ nodeId }) => nodeId);
      if (nodeIds.length === 0) return;
      const { rows } = await pool.query<{ id: string; nodeId: string }>(FIND, [now, nodeIds]);
      for (const { id, nodeId } of rows) {
        if (underWay.size >= UNDER_WAY_MAX) return;
        if (underWay.has(id) || !agents.isConnected(nodeId)) continue;
        underWay.add(id);
        // An agent may take half a minute: others need not wait for it.
        remove(id)
          .catch((error: unknown) =>
            log.warn({ serverId: id, nodeId, err: error }, 'could not carry out a deletion, will retry'),
          )
          .finally(() => underWay.delete(id));
      }
    },
  };
}
