import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from '../context.js';
import { isDatabaseUnavailable } from '../lib/database-errors.js';
import type { Watch } from './watch.js';

/** An agent whose secret was replaced, or whose node was deleted, by another panel hears of it within two of these. */
const INTERVAL_MS = 800;

/** Looks again and again for connections that were let in with a secret that does not count any more. */
export function startSecretWatch({ nodes, log }: Pick<Context, 'nodes' | 'log'>): Watch {
  const stopping = new AbortController();

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await nodes.deliverSecrets();
      } catch (error) {
        if (isDatabaseUnavailable(error))
          log.debug({ err: error }, 'the watch over secrets waits for the database');
        else log.error({ err: error }, 'the watch over secrets failed');
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
