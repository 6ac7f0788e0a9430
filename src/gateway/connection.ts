import type { WebSocket } from 'ws';
import type { PanelMessage } from '../protocol/agent-messages.js';
import { PANEL_FRAME_MAX_BYTES } from '../protocol/limits.js';
import type { Valve } from './valve.js';

/** What may wait in the socket of one agent before it counts as gone. */
const SEND_BUFFER_MAX_BYTES = 2 * PANEL_FRAME_MAX_BYTES;

/** An agent that does not answer the closing of its connection loses it after so long. */
const CLOSE_TIMEOUT_MS = 1000;

/** One authenticated connection of one agent. */
export interface AgentConnection {
  readonly nodeId: string;
  /** Which of its node's secrets let it in. */
  readonly secretVersion: string;
  readonly capabilities: ReadonlySet<string>;
  /** False when the agent is gone or takes nothing any more; then nothing was sent. */
  send(message: PanelMessage): boolean;
  close(code: number, reason: string): void;
  /** Stop reading until as many `resume` calls: TCP then slows the agent down. */
  pause(): void;
  resume(): void;
}

export function createAgentConnection(options: {
  socket: WebSocket;
  valve: Valve;
  nodeId: string;
  secretVersion: string;
  capabilities: ReadonlySet<string>;
}): AgentConnection {
  const { socket, valve, nodeId, secretVersion, capabilities } = options;
  return {
    nodeId,
    secretVersion,
    capabilities,
    send(message) {
      if (socket.readyState !== socket.OPEN) return false;
      if (socket.bufferedAmount > SEND_BUFFER_MAX_BYTES) {
        socket.terminate();
        return false;
      }
      socket.send(JSON.stringify(message));
      return true;
    },
    close(code, reason) {
      if (socket.readyState !== socket.OPEN) return;
      socket.close(code, reason);
      const timer = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS).unref();
      socket.once('close', () => clearTimeout(timer));
    },
    pause: valve.pause,
    resume: valve.resume,
  };
}
