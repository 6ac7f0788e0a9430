import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { Bus } from '../../../events.js';
import type { AgentGateway } from '../../../gateway/gateway.js';
import { type Actor, hasPermission } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import type { Nodes } from '../../nodes/service.js';
import type { ServerAccess } from '../access.js';
import { hold, isBusy } from '../power/actions.js';
import { NO_ACTION, type ServerState, type ServerStates } from '../state.js';
import { deleteServerRow, type ServerRow, wasOnNode } from './deleted-row.js';
import type { RemoveFromNode } from './node-removal.js';
import type { RemovedServers } from './removed-servers.js';

export interface ServerRemoval {
  /**
   * First what the node has of the server, then the server itself; history goes with its retention.
   * @param options.force Whatever its state and its node: what the node has of it goes later.
   */
  delete(actor: Actor, serverId: string, options?: { force?: boolean }): Promise<RemovalOutcome>;
}

/**
 * `requested`: its node is offline, and it is deleted as soon as that is back. `passed_on`: its agent is connected to
 * another panel, which deletes it now.
 */
export type RemovalOutcome = 'deleted' | 'requested' | 'passed_on';

export interface RemovalDependencies {
  pool: Pool;
  agents: AgentGateway;
  nodes: Pick<Nodes, 'isElsewhere'>;
  access: ServerAccess;
  bus: Bus;
  states: ServerStates;
  removeFromNode: RemoveFromNode;
  removedServers: RemovedServers;
}

export function createServerRemoval(dependencies: RemovalDependencies): ServerRemoval {
  const { pool, agents, nodes, access, bus, states, removeFromNode, removedServers } = dependencies;

  function requireDeletable(server: ServerState, isElsewhere: boolean): void {
    if (server.deletionRequestedAt) throw new AppError('server.being_deleted');
    if (isBusy(server, new Date())) throw new AppError('server.busy');
    if (server.status === 'stopped' || server.status === 'crashed') return;
    if (isElsewhere || agents.isConnected(server.nodeId)) throw new AppError('server.not_stopped');
    throw new AppError(
      'server.not_stopped',
      'The server ran when its node went offline: it can be stopped when the node is back. An administrator can delete it at once, with ?force=true.',
    );
  }

  async function request(actor: Actor, serverId: string, isElsewhere: boolean): Promise<void> {
    const changed = await states.change(
      serverId,
      (server) => {
        requireDeletable(server, isElsewhere);
        return { ...server, ...NO_ACTION, desiredState: 'stopped', deletionRequestedAt: new Date() };
      },
      { actor, entry: { action: 'server.delete', metadata: { whenNodeIsBack: true } } },
    );
    if (!changed) throw new AppError('server.not_found');
  }

  async function force(actor: Actor, server: ServerRow): Promise<void> {
    const { id: serverId, uuid: serverUuid, nodeId } = server;
    const onNode = { serverId, serverUuid, nodeId };
    const { mayBeOnNode } = await deleteServerRow(pool, actor, server, {
      isForced: true,
      before: (client) => removedServers.remember(client, onNode),
    });
    if (mayBeOnNode) removedServers.clear(onNode);
  }

  return {
    async delete(actor, serverId, options) {
      const server = await access.authorise(actor, serverId, 'server.delete');
      if (options?.force) {
        requireForce(actor);
        await force(actor, server);
        bus.emit('server.deleted', { serverId });
        return 'deleted';
      }
      const { uuid: serverUuid, nodeId } = server;
      const isElsewhere = await nodes.isElsewhere(nodeId);
      const commandId = randomUUID();
      const held = await states.change(serverId, (current) => {
        requireDeletable(current, isElsewhere);
        // What was never on its node can go without it.
        const needsNode = wasOnNode(current) && !agents.isConnected(current.nodeId);
        return needsNode ? null : holdForDeletion(current, commandId);
      });
      if (!held) {
        await request(actor, serverId, isElsewhere);
        return isElsewhere ? 'passed_on' : 'requested';
      }
      try {
        await removeFromNode({ serverId, serverUuid, nodeId }, commandId);
        await deleteServerRow(pool, actor, server, { isForced: false });
      } catch (error) {
        await states.change(serverId, (current) =>
          current.activeCommandId === commandId ? { ...current, ...NO_ACTION } : null,
        );
        throw error;
      }
      bus.emit('server.deleted', { serverId });
      return 'deleted';
    },
  };
}

/** Of what runs, or of what a node may still have, nobody gets rid for good but who may delete every server. */
function requireForce(actor: Actor): void {
  if (hasPermission(actor, 'server.delete') || hasPermission(actor, 'admin.write')) return;
  throw new AppError(
    'permission.denied',
    'Only who may delete every server may do so by force. Delete it without, or ask an administrator.',
  );
}

/** The server with its deletion begun: nothing else is done with it meanwhile. */
export function holdForDeletion(server: ServerState, commandId: string): ServerState {
  const order = { commandId, timeoutSeconds: 0, now: new Date() };
  return { ...server, ...hold('delete', order), desiredState: 'stopped' };
}
