import { AppError } from '../lib/errors.js';
import type { PanelMessage } from '../protocol/agent-messages.js';
import type { AgentConnection } from './connection.js';

/** The panel's way to its agents. Built before the services; the door to agents (`socket.ts`) feeds it connections. */
export interface AgentGateway {
  isConnected(nodeId: string): boolean;
  hasCapability(nodeId: string, capability: string): boolean;
  /** Hands a message to the node's agent. Throws `node.offline`; then nothing was sent. */
  send(nodeId: string, message: PanelMessage): void;
  /** The live connection of a node, for doors. */
  connection(nodeId: string): AgentConnection | undefined;
  /** Makes a connection the node's own and returns the one that it replaces. */
  attach(connection: AgentConnection): AgentConnection | undefined;
  /** False when a newer connection had taken the node's place already. */
  detach(connection: AgentConnection): boolean;
}

export function createAgentGateway(): AgentGateway {
  const byNode = new Map<string, AgentConnection>();
  return {
    isConnected: (nodeId) => byNode.has(nodeId),
    hasCapability: (nodeId, capability) => byNode.get(nodeId)?.capabilities.has(capability) ?? false,
    send(nodeId, message) {
      const connection = byNode.get(nodeId);
      if (!connection?.send(message)) throw new AppError('node.offline');
    },
    connection: (nodeId) => byNode.get(nodeId),
    attach(connection) {
      const earlier = byNode.get(connection.nodeId);
      byNode.set(connection.nodeId, connection);
      return earlier;
    },
    detach(connection) {
      if (byNode.get(connection.nodeId) !== connection) return false;
      return byNode.delete(connection.nodeId);
    },
  };
}
