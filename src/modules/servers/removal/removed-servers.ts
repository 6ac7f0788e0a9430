import type { Pool, PoolClient } from 'pg';
import type { AgentGateway } from '../../../gateway/gateway.js';
import type { Log } from '../../../lib/log.js';
import { Capability } from '../../../protocol/agent-messages.js';
import type { RemoveFromNode, ServerOnNode } from './node-removal.js';

/** Servers that were deleted without their node: what the node has of them goes when it is back. */
export interface RemovedServers {
  /** As part of the transaction that deletes the server. */
  remember(client: PoolClient, server: ServerOnNode): Promise<void>;
  /** Asks the agent, in the background, to remove what it has of the server. */
  clear(server: ServerOnNode): void;
  /**
   * The same for those that an agent lists; what it does not list any more is forgotten.
   * @param unknownIds Listed servers that are not on the node as far as the panel knows.
   * @returns Those of them that were deleted.
   */
  clearListed(nodeId: string, unknownIds: ReadonlySet<string>): Promise<Set<string>>;
}

/** So long after its deletion a server may be missing in an inventory that was made before. */
const FORGET_AFTER_SECONDS = 60;
const CLEARED_AT_ONCE_MAX = 100;

export function createRemovedServers({
  pool,
  agents,
  removeFromNode,
  log,
}: {
  pool: Pool;
  agents: AgentGateway;
  removeFromNode: RemoveFromNode;
  log: Log;
}): RemovedServers {
  async function clearAndForget(server: ServerOnNode): Promise<void> {
    await removeFromNode(server);
    await forget(server.nodeId, [server.serverId]);
    const { serverId, nodeId } = server;
    log.info({ serverId, nodeId }, 'a node removed what it had of a deleted server');
  }

  async function forget(nodeId: string, serverIds: readonly string[]): Promise<void> {
    await pool.query(`DELETE FROM "RemovedServer" WHERE "nodeId" = $1 AND "serverId" = ANY($2)`, [
      nodeId,
      serverIds,
    ]);
  }

  function clear(server: ServerOnNode): void {
    // Others know no such order, and would seem to have carried it out.
    if (!agents.hasCapability(server.nodeId, Capability.commandResults)) return;
    clearAndForget(server).catch((error: unknown) => {
      const { serverId, nodeId } = server;
      log.warn({ serverId, nodeId, err: error }, 'a node still has what it had of a deleted server');
    });
  }

  return {
    async remember(client, { serverId, serverUuid, nodeId }) {
      await client.query(
        `INSERT INTO "RemovedServer" ("serverId", "serverUuid", "nodeId") VALUES ($1, $2, $3)
         ON CONFLICT ("serverId") DO NOTHING`,
        [serverId, serverUuid, nodeId],
      );
    },
    clear,
    async clearListed(nodeId, unknownIds) {
      const { rows } = await pool.query<ServerOnNode & { isOld: boolean }>(
        `SELECT "serverId", "serverUuid", "nodeId",
           "createdAt" < now() - make_interval(secs => ${FORGET_AFTER_SECONDS}) AS "isOld"
         FROM "RemovedServer" WHERE "nodeId" = $1`,
        [nodeId],
      );
      const listed = rows.filter(({ serverId }) => unknownIds.has(serverId));
      const gone = rows.filter(({ serverId, isOld }) => isOld && !unknownIds.has(serverId));
      if (gone.length > 0) {
        await forget(
          nodeId,
          gone.map(({ serverId }) => serverId),
        );
      }
      for (const { serverId, serverUuid } of listed.slice(0, CLEARED_AT_ONCE_MAX)) {
        clear({ serverId, serverUuid, nodeId });
      }
      return new Set(listed.map(({ serverId }) => serverId));
    },
  };
}
