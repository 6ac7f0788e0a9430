import type { AgentConnection } from '../../gateway/connection.js';

/** A paused agent's heartbeats wait too: after this time it may speak again, crowded or not. */
const PAUSE_MAX_MS = 10_000;

export interface Brakes {
  /** Stop reading from the agent until `release`, or for some seconds. */
  pause(connection: AgentConnection): void;
  release(): void;
}

/** Slows agents down while their lines come faster than they are stored. */
export function createBrakes(): Brakes {
  const paused = new Map<AgentConnection, NodeJS.Timeout>();

  function resume(connection: AgentConnection): void {
    clearTimeout(paused.get(connection));
    if (paused.delete(connection)) connection.resume();
  }

  return {
    pause(connection) {
      if (paused.has(connection)) return;
      connection.pause();
      paused.set(
        connection,
        setTimeout(() => resume(connection), PAUSE_MAX_MS),
      );
    },
    release() {
      for (const connection of [...paused.keys()]) resume(connection);
    },
  };
}
