import type { Context } from '../context.js';
import type { AgentMessage, AgentMessageOf } from '../protocol/agent-messages.js';
import type { AgentConnection } from './connection.js';
import type { Violations } from './violations.js';

/** Who says it. */
export interface Sender {
  connection: AgentConnection;
  violations: Violations;
  /** Ids of commands that were under way when the agent connected. */
  commandsBefore: ReadonlySet<string>;
}

/** What follows from each message. Servers that are named are on the sender's node: that was checked before. */
export type AgentHandlers = {
  [Type in AgentMessage['type']]: (sender: Sender, message: AgentMessageOf<Type>) => void | Promise<void>;
};

type HandlerContext = Pick<Context, 'bus' | 'servers' | 'console' | 'metrics' | 'nodes'>;

export function createAgentHandlers({
  bus,
  servers,
  console,
  metrics,
  nodes,
}: HandlerContext): AgentHandlers {
  return {
    node_handshake({ violations }) {
      violations.count('a second handshake');
    },

    // That something came is all there is to it.
    heartbeat() {},

    async server_state_update({ connection, violations }, message) {
      const { serverId, state } = message;
      const wasRecorded = await servers.recordState(connection.nodeId, message);
      if (!wasRecorded) violations.count('a state that cannot follow', { serverId, state });
    },

    async command_result({ connection }, message) {
      await servers.recordResult(connection.nodeId, message);
    },

    async inventory({ connection, violations, commandsBefore }, message) {
      const strangers = await servers.reconcile(connection.nodeId, message.servers, commandsBefore);
      for (const serverId of strangers)
        violations.count('a server of another node in the inventory', { serverId });
    },

    install_progress(_sender, { serverId, phase, percent, message }) {
      const progress = { serverId, phase, percent, ...(message !== undefined && { message }) };
      bus.emit('server.installProgressed', progress);
    },

    console_output: ({ connection }, message) => console.record(connection, message),

    console_gap: ({ connection }, message) => console.recordGap(connection, message),

    resource_stats: (_sender, message) => metrics.recordStats(message),

    async health_report({ connection, violations }, message) {
      const { nodeId } = connection;
      if (message.nodeId !== nodeId) {
        violations.count('a health report of another node');
        return;
      }
      await Promise.all([nodes.recordHealth(nodeId, message), metrics.recordHealth(nodeId, message)]);
    },
  };
}
