import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from '../context.js';
import { isDatabaseUnavailable } from '../lib/database-errors.js';
import type { Watch } from './watch.js';

/** What another panel decides about a node or its servers reaches the agent within two of these. */
const INTERVAL_MS = 800;

/**
 * Looks again and again for what was decided elsewhere and has to be done by whoever has the agent: secrets that were
 * replaced, nodes and servers that were deleted, servers that were suspended.
 */
export function startOtherPanelsWatch({
  nodes,
  servers,
  log,
}: Pick<Context, 'nodes' | 'servers' | 'log'>): Watch {
  const stopping = new AbortController();

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await nodes.deliverSecrets();
        const now = new Date();
        await servers.stopBlocked(now);
        await servers.removeRequested(now);
        await servers.clearRemaining(now);
      } catch (error) {
        if (isDatabaseUnavailable(error))
          log.debug({ err: error }, 'the watch over other panels waits for the database');
        else log.error({ err: error }, 'the watch over other panels failed');
      }
      await delay(INTERVAL_MS, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
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
