import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { Bus } from '../../events.js';
import type { AgentGateway } from '../../gateway/gateway.js';
import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { Capability } from '../../protocol/agent-messages.js';
import type { ServerAccess } from './access.js';
import { hold, isBusy } from './actions.js';
import type { CommandResults } from './results.js';
import { NO_ACTION, type ServerState, type ServerStates } from './state.js';

export interface ServerRemoval {
  /** First what the node has of the server, then the server itself; history goes with its retention. */
  delete(actor: Actor, serverId: string): Promise<void>;
}

export interface RemovalDependencies {
  pool: Pool;
  agents: AgentGateway;
  access: ServerAccess;
  bus: Bus;
  states: ServerStates;
  results: CommandResults;
}

export function createServerRemoval(dependencies: RemovalDependencies): ServerRemoval {
  const { pool, access, bus, states } = dependencies;
  return {
    async delete(actor, serverId) {
      const { uuid, nodeId } = await access.authorise(actor, serverId, 'server.delete');
      const commandId = randomUUID();
      const held = await states.change(serverId, (server) => {
        const next = beginDelete(server, commandId);
        requireNode(dependencies.agents, server);
        return next;
      });
      if (!held) throw new AppError('server.not_found');
      try {
        await removeFromNode(dependencies, { serverId, serverUuid: uuid, nodeId, commandId });
        await removeRow(pool, serverId);
      } catch (error) {
        await states.change(serverId, (server) =>
          server.activeCommandId === commandId ? { ...server, ...NO_ACTION } : null,
        );
        throw error;
      }
      bus.emit('server.deleted', { serverId });
    },
  };
}

/** Allocations, members and the console's position go with it. */
async function removeRow(pool: Pool, serverId: string): Promise<void> {
  const { rowCount } = await pool.query(
    `DELETE FROM "Server" WHERE "id" = $1 AND "status" IN ('stopped', 'crashed')`,
    [serverId],
  );
  if (rowCount === 0) throw new AppError('server.not_stopped');
}

function beginDelete(server: ServerState, commandId: string): ServerState {
  const now = new Date();
  if (isBusy(server, now)) throw new AppError('server.busy');
  if (server.status !== 'stopped' && server.status !== 'crashed') throw new AppError('server.not_stopped');
  return { ...server, ...hold('delete', { commandId, timeoutSeconds: 0, now }), desiredState: 'stopped' };
}

/** What was never on its node can go without it. */
function requireNode(agents: AgentGateway, server: ServerState): void {
  const wasOnNode = server.installedAt ?? server.containerId ?? server.statusReason ?? server.exitCode;
  if (wasOnNode !== null && !agents.isConnected(server.nodeId)) throw new AppError('node.offline');
}

async function removeFromNode(
  { agents, results }: RemovalDependencies,
  command: { serverId: string; serverUuid: string; nodeId: string; commandId: string },
): Promise<void> {
  const { nodeId, ...address } = command;
  // Documented agents know no such order: what they have of the server is theirs to clear away.
  if (!agents.hasCapability(nodeId, Capability.commandResults)) return;
  const waiter = results.expect(nodeId, command.commandId);
  try {
    agents.send(nodeId, { type: 'delete_server', ...address });
  } catch (error) {
    waiter.cancel();
    throw error;
  }
  const result = await waiter.answer;
  if (!result) {
    throw new AppError(
      'node.offline',
      'The node did not confirm that it removed the server, so the server was kept. Try again.',
    );
  }
  if (!result.ok) {
    throw new AppError(
      'agent.rejected',
      `The node could not remove the server: ${result.message ?? result.code}`,
    );
  }
}
