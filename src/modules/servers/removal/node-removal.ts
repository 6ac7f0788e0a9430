import { randomUUID } from 'node:crypto';
import type { AgentGateway } from '../../../gateway/gateway.js';
import { AppError } from '../../../lib/errors.js';
import { Capability } from '../../../protocol/agent-messages.js';
import type { CommandResults } from '../power/results.js';

/** A server as its agent knows it. */
export interface ServerOnNode {
  serverId: string;
  serverUuid: string;
  nodeId: string;
}

/**
 * Has the agent remove all that the node has of a server, and waits for its word. Throws `node.offline`, also when no
 * answer comes, and `agent.rejected`.
 */
export type RemoveFromNode = (server: ServerOnNode, commandId?: string) => Promise<void>;

export function createRemoveFromNode({
  agents,
  results,
}: {
  agents: AgentGateway;
  results: CommandResults;
}): RemoveFromNode {
  return async function removeFromNode({ nodeId, ...address }, commandId = randomUUID()) {
    // Documented agents know no such order: what they have of the server is theirs to clear away.
    if (!agents.hasCapability(nodeId, Capability.commandResults)) return;
    const waiter = results.expect(nodeId, commandId);
    try {
      agents.send(nodeId, { type: 'delete_server', ...address, commandId });
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
  };
}
