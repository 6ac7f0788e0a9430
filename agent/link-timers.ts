import type { Logger } from 'pino';
import { WebSocket } from 'ws';
import { HANDSHAKE_TIMEOUT_MS } from '../src/protocol/limits.js';

export interface LinkTimersOptions {
  pingIntervalMs: number;
  isReady(): boolean;
  sendHeartbeat(): void;
  log: Logger;
}

/** Ends a connection on which the panel does not answer, and keeps a good one alive. */
export interface LinkTimers {
  sawTraffic(): void;
  startHeartbeat(intervalMs: number): void;
  stop(): void;
}

/** A panel that is silent for so many pings is not there. */
const SILENT_PINGS_MAX = 2.5;

export function createLinkTimers(socket: WebSocket, options: LinkTimersOptions): LinkTimers {
  const { pingIntervalMs, isReady, sendHeartbeat, log } = options;
  let trafficAtMs = performance.now();
  let heartbeat: NodeJS.Timeout | undefined;
  const welcomeDeadline = setTimeout(() => {
    if (!isReady()) socket.terminate();
  }, 2 * HANDSHAKE_TIMEOUT_MS);
  const ping = setInterval(() => {
    const silentMs = performance.now() - trafficAtMs;
    if (silentMs > SILENT_PINGS_MAX * pingIntervalMs) {
      log.warn('the panel is silent; dialling anew');
      socket.terminate();
    } else if (socket.readyState === WebSocket.OPEN) socket.ping();
  }, pingIntervalMs);
  return {
    sawTraffic() {
      trafficAtMs = performance.now();
    },
    startHeartbeat(intervalMs) {
      heartbeat = setInterval(sendHeartbeat, intervalMs);
    },
    stop() {
      clearTimeout(welcomeDeadline);
      clearInterval(ping);
      clearInterval(heartbeat);
    },
  };
}
