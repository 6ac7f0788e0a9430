import type { WebSocket } from 'ws';
import { HEARTBEATS_MISSED_MAX } from '../protocol/limits.js';
import type { Valve } from './valve.js';

export interface Liveness {
  heard(): void;
  /** To be called every now and then: pings, and ends a socket from which nothing comes any more. */
  check(): void;
}

/** Nothing for three heartbeats: the agent is gone, whatever TCP still thinks. */
export function createLiveness(options: {
  socket: WebSocket;
  valve: Valve;
  heartbeatIntervalMs: number;
  onSilent: () => void;
  /** Something was heard: at most twice in a heartbeat's time. */
  onSeen: () => void;
}): Liveness {
  const { socket, valve, heartbeatIntervalMs } = options;
  let heardAt = performance.now();
  let seenAt = heardAt;
  let pingedAt = heardAt;
  let checkedAt = heardAt;
  return {
    heard() {
      heardAt = performance.now();
      if (heardAt - seenAt < heartbeatIntervalMs / 2) return;
      seenAt = heardAt;
      options.onSeen();
    },
    check() {
      const now = performance.now();
      // Nothing can be heard while we do not read, or did not run ourselves.
      if (valve.isPaused() || now - checkedAt > heartbeatIntervalMs) heardAt = now;
      checkedAt = now;
      if (now - heardAt > heartbeatIntervalMs * HEARTBEATS_MISSED_MAX) {
        options.onSilent();
        socket.terminate();
      } else if (now - pingedAt >= heartbeatIntervalMs) {
        // Keeps what stands between from forgetting the connection.
        pingedAt = now;
        socket.ping();
      }
    },
  };
}
