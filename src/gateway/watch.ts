import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from '../context.js';
import { isDatabaseUnavailable } from '../lib/database-errors.js';

const INTERVAL_MAX_MS = 5000;

export interface Watch {
  stop(): Promise<void>;
}

/** Looks again and again for agents that fell silent and for commands that nobody answered. */
export function startWatch(
  { config, nodes, servers, log }: Pick<Context, 'config' | 'nodes' | 'servers' | 'log'>,
  checkSessions: () => void,
): Watch {
  const intervalMs = Math.min(config.HEARTBEAT_INTERVAL_MS / 4, INTERVAL_MAX_MS);
  const stopping = new AbortController();

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      checkSessions();
      try {
        const now = new Date();
        await nodes.markStaleOffline(now);
        await servers.expireActions(now);
      } catch (error) {
        if (isDatabaseUnavailable(error))
          log.debug({ err: error }, 'the watch over agents waits for the database');
        else log.error({ err: error }, 'the watch over agents failed');
      }
      await delay(intervalMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
    }
  }

  const running = run();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
