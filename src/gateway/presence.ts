import type { Context } from '../context.js';
import { createTurns } from '../lib/turns.js';
import type { ConnectedAgent } from '../modules/nodes/presence.js';

type PresenceContext = Pick<Context, 'nodes' | 'agents' | 'log'>;

/** Which nodes are connected, written in the order in which it happened. */
export interface Presence {
  /** Rejects when it could not be written. Until `arrived` a leaving older connection does not count. */
  arriving(nodeId: string, agent: ConnectedAgent): Promise<void>;
  arrived(nodeId: string): void;
  seen(nodeId: string): void;
  left(nodeId: string): void;
  settled(): Promise<void>;
}

export function createPresence({ nodes, agents, log }: PresenceContext): Presence {
  /** Two statements of one node on two connections of the pool could overtake each other. */
  const turns = createTurns();
  const arrivals = new Map<string, number>();

  function isHere(nodeId: string): boolean {
    return agents.isConnected(nodeId) || arrivals.has(nodeId);
  }

  function inBackground(nodeId: string, work: () => Promise<void>): void {
    turns.take(nodeId, work).catch((error: unknown) => {
      log.warn({ nodeId, err: error }, 'could not write whether a node is online');
    });
  }

  return {
    arriving(nodeId, agent) {
      arrivals.set(nodeId, (arrivals.get(nodeId) ?? 0) + 1);
      return turns.take(nodeId, () => nodes.recordConnected(nodeId, agent));
    },
    arrived(nodeId) {
      const others = (arrivals.get(nodeId) ?? 1) - 1;
      if (others > 0) arrivals.set(nodeId, others);
      else arrivals.delete(nodeId);
    },
    seen(nodeId) {
      inBackground(nodeId, async () => {
        if (isHere(nodeId)) await nodes.recordSeen(nodeId);
      });
    },
    left(nodeId) {
      inBackground(nodeId, async () => {
        if (!isHere(nodeId)) await nodes.recordDisconnected(nodeId);
      });
    },
    settled: turns.settled,
  };
}
