import type { Pool, PoolClient } from 'pg';
import type { AgentConnection } from '../../../gateway/connection.js';
import type { AgentGateway } from '../../../gateway/gateway.js';
import type { Log } from '../../../lib/log.js';
import { Capability } from '../../../protocol/agent-messages.js';
import type { RemoveFromNode, ServerOnNode } from './node-removal.js';

/** Servers that were deleted by force: what the node has of them goes afterwards, or when it is back. */
export interface RemovedServers {
  /** As part of the transaction that deletes the server. */
  remember(client: PoolClient, server: ServerOnNode): Promise<void>;
  /** Asks the agent, if it is here, in the background to remove what it has of the server. */
  clear(server: ServerOnNode): void;
  /** Asks again who refused or was not here: agents of servers that another panel deleted. A tick. */
  clearRemaining(now: Date): Promise<void>;
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
/** Longer than an agent may take for its answer. */
const ASK_AGAIN_AFTER_MS = 60_000;
/** Who has just connected says by himself what he has. */
const SETTLED_AFTER_MS = 10_000;

const FIND_REMAINING = `
  SELECT "serverId", "serverUuid", "nodeId" FROM "RemovedServer"
  WHERE "nodeId" = ANY($1) AND NOT "serverId" = ANY($2)
  ORDER BY "createdAt" LIMIT ${CLEARED_AT_ONCE_MAX}`;

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
  /** Which connection was asked about which server, and when. */
  const asked = new Map<string, { connection: AgentConnection; atMs: number }>();
  const connectedSince = new WeakMap<AgentConnection, number>();

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
    for (const serverId of serverIds) asked.delete(serverId);
  }

  /** Who knows no order to remove a server is told to stop it, once: nobody else can any more. */
  function isAsked(serverId: string, nowMs: number): boolean {
    const last = asked.get(serverId);
    if (!last || agents.connection(last.connection.nodeId) !== last.connection) return false;
    return !canRemove(last.connection) || nowMs - last.atMs < ASK_AGAIN_AFTER_MS;
  }

  function clear(server: ServerOnNode): void {
    const connection = agents.connection(server.nodeId);
    const nowMs = Date.now();
    if (!connection || isAsked(server.serverId, nowMs)) return;
    asked.set(server.serverId, { connection, atMs: nowMs });
    if (!canRemove(connection)) {
      const { serverId, serverUuid } = server;
      connection.send({ type: 'stop_server', serverId, serverUuid, suspended: false });
      return;
    }
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
    async clearRemaining(now) {
      const nowMs = now.getTime();
      for (const [serverId] of asked) if (!isAsked(serverId, nowMs)) asked.delete(serverId);
      const settled = agents.connections().filter((connection) => {
        const sinceMs = connectedSince.get(connection) ?? nowMs;
        connectedSince.set(connection, sinceMs);
        return nowMs - sinceMs >= SETTLED_AFTER_MS;
      });
      if (settled.length === 0) return;
      const nodeIds = settled.map(({ nodeId }) => nodeId);
      const { rows } = await pool.query<ServerOnNode>(FIND_REMAINING, [nodeIds, [...asked.keys()]]);
      for (const server of rows) clear(server);
    },
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

function canRemove({ capabilities }: AgentConnection): boolean {
  return capabilities.has(Capability.commandResults);
}
