import type { Pool, PoolClient } from 'pg';
import type { Actor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import { inTransaction } from '../../../lib/transaction.js';
import type { ServerState } from '../state.js';

/** A server whose row is about to go. */
export interface ServerRow {
  id: string;
  uuid: string;
  nodeId: string;
}

type LockedServer = Pick<
  ServerState,
  | 'name'
  | 'nodeId'
  | 'status'
  | 'installedAt'
  | 'containerId'
  | 'statusReason'
  | 'exitCode'
  | 'activeAction'
  | 'deletionRequestedAt'
>;

const LOCK = `
  SELECT "name", "nodeId", "status", "installedAt", "containerId", "statusReason", "exitCode", "activeAction",
    "deletionRequestedAt"
  FROM "Server" WHERE "id" = $1 FOR UPDATE`;

/** Whether anything of a server that is down can be on its node. */
export function wasOnNode(
  server: Pick<LockedServer, 'installedAt' | 'containerId' | 'statusReason' | 'exitCode'>,
): boolean {
  return (server.installedAt ?? server.containerId ?? server.statusReason ?? server.exitCode) !== null;
}

/**
 * Deletes the row of a server. Ports, address, members and the console's position go with it; its databases stay until
 * they are dropped. Throws `server.not_found`, and unless forced `server.not_stopped`.
 */
export async function deleteServerRow(
  pool: Pool,
  actor: Actor,
  { id, nodeId }: ServerRow,
  options: { isForced: boolean; before?: (client: PoolClient) => Promise<void> },
): Promise<{ mayBeOnNode: boolean }> {
  return inTransaction(pool, async (client) => {
    // The node before the server, as everywhere: two orders would be a deadlock one day.
    await client.query(`SELECT FROM "Node" WHERE "id" = $1 FOR KEY SHARE`, [nodeId]);
    const { rows } = await client.query<LockedServer>(LOCK, [id]);
    const server = rows[0];
    if (!server) throw new AppError('server.not_found');
    const isDown = server.status === 'stopped' || server.status === 'crashed';
    if (!isDown && !options.isForced) throw new AppError('server.not_stopped');
    // Transferred this very moment.
    if (server.nodeId !== nodeId) throw new AppError('server.busy');
    const mayBeOnNode = !isDown || server.activeAction !== null || wasOnNode(server);
    if (mayBeOnNode) await options.before?.(client);
    // One that is still being made may turn out to be somebody else's: it is looked at before it is dropped.
    const dropped = await client.query<{ name: string }>(
      `UPDATE "ServerDatabase" SET "state" = 'deleting', "stateChangedAt" = now()
       WHERE "serverId" = $1 AND "state" = 'ready' RETURNING "name"`,
      [id],
    );
    const databases = dropped.rows.map(({ name }) => name);
    await client.query(`DELETE FROM "Server" WHERE "id" = $1`, [id]);
    await recordAudit(client, actor, {
      action: 'server.delete',
      resourceType: 'server',
      resourceId: id,
      serverId: id,
      metadata: {
        serverName: server.name,
        ...(options.isForced && { isForced: true }),
        ...(databases.length > 0 && { databases }),
        ...(server.deletionRequestedAt && { requestedAt: server.deletionRequestedAt }),
      },
    });
    return { mayBeOnNode };
  });
}
