import { AppError } from '../lib/errors.js';
import { Capability, type PanelMessage } from '../protocol/agent-messages.js';
import { CloseCode } from '../protocol/limits.js';
import type { AgentConnection } from './connection.js';

/** So long an agent may take to come back with a secret that it was told. */
const ROTATION_TIMEOUT_MS = 10_000;

/** The panel's way to its agents. Built before the services; the door to agents (`socket.ts`) feeds it connections. */
export interface AgentGateway {
  isConnected(nodeId: string): boolean;
  hasCapability(nodeId: string, capability: string): boolean;
  /** Hands a message to the node's agent. Throws `node.offline`; then nothing was sent. */
  send(nodeId: string, message: PanelMessage): void;
  /** The live connection of a node, for doors. */
  connection(nodeId: string): AgentConnection | undefined;
  /** Every live connection. */
  connections(): AgentConnection[];
  /**
   * The node has another secret now. An agent that can take it is told, and keeps its connection for as long as
   * coming back may take; any other is sent away. Answers whether it was told.
   */
  replaceSecret(nodeId: string, current: { secret: string; secretVersion: string }): boolean;
  /** Makes a connection the node's own and returns the one that it replaces. */
  attach(connection: AgentConnection): AgentConnection | undefined;
  /** False when a newer connection had taken the node's place already. */
  detach(connection: AgentConnection): boolean;
  /**
   * Called with each connection that stops speaking for its node: it ended, a newer one took over, or the secret that
   * let it in was replaced. May be called twice for one.
   */
  whenReleased(listener: (connection: AgentConnection) => void): void;
}

export function createAgentGateway(): AgentGateway {
  const byNode = new Map<string, AgentConnection>();
  const listeners: ((connection: AgentConnection) => void)[] = [];
  const told = new WeakMap<AgentConnection, { secretVersion: string; untilMs: number }>();

  function release(connection: AgentConnection): void {
    for (const listener of listeners) listener(connection);
  }

  return {
    isConnected: (nodeId) => byNode.has(nodeId),
    hasCapability: (nodeId, capability) => byNode.get(nodeId)?.capabilities.has(capability) ?? false,
    send(nodeId, message) {
      const connection = byNode.get(nodeId);
      if (!connection?.send(message)) throw new AppError('node.offline');
    },
    connection: (nodeId) => byNode.get(nodeId),
    connections: () => [...byNode.values()],
    replaceSecret(nodeId, { secret, secretVersion }) {
      const connection = byNode.get(nodeId);
      if (!connection || connection.secretVersion === secretVersion) return false;
      const earlier = told.get(connection);
      const wasTold = earlier?.secretVersion === secretVersion;
      if (wasTold && performance.now() < earlier.untilMs) return true;
      release(connection);
      const canTakeIt = !wasTold && connection.capabilities.has(Capability.secretRotation);
      if (canTakeIt && connection.send({ type: 'rotate_secret', secret })) {
        told.set(connection, { secretVersion, untilMs: performance.now() + ROTATION_TIMEOUT_MS });
        return true;
      }
      connection.close(CloseCode.unauthorized, 'The secret of this node was replaced.');
      return false;
    },
    attach(connection) {
      const earlier = byNode.get(connection.nodeId);
      byNode.set(connection.nodeId, connection);
      if (earlier) release(earlier);
      return earlier;
    },
    detach(connection) {
      if (byNode.get(connection.nodeId) !== connection) return false;
      byNode.delete(connection.nodeId);
      release(connection);
      return true;
    },
    whenReleased: (listener) => void listeners.push(listener),
  };
}
