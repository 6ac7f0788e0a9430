import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { createHistogram, type Histogram, record } from './histogram.js';
import { monotonicMs } from './lines.js';

const PAUSE_MS = 20;
/** A request that takes longer counts as having taken so long. */
const TIMEOUT_MS = 20_000;

export interface Prober {
  /** How long the requests took. */
  stop(): Promise<Histogram>;
}

/** Asks for the same thing again and again, one request at a time, from now on. */
export function startProber(url: string, headers: Record<string, string> = {}): Prober {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times = createHistogram();
  let isOver = false;

  function ask(): Promise<void> {
    return new Promise((resolve, reject) => {
      const sent = request(url, { agent, headers, timeout: TIMEOUT_MS }, (response) => {
        response.resume();
        response.on('end', () =>
          response.statusCode === 200
            ? resolve()
            : reject(new Error(`${url} answered ${response.statusCode}.`)),
        );
      });
      sent.on('timeout', () => sent.destroy(new Error(`${url} did not answer in ${TIMEOUT_MS} ms.`)));
      sent.on('error', reject);
      sent.end();
    });
  }

  async function probe(): Promise<void> {
    while (!isOver) {
      const startedAt = monotonicMs();
      await ask();
      record(times, monotonicMs() - startedAt);
      await delay(PAUSE_MS);
    }
  }

  const probing = probe().finally(() => agent.destroy());
  probing.catch(() => {
    // Told to whoever stops the prober.
  });
  return {
    async stop() {
      isOver = true;
      await probing;
      return times;
    },
  };
}
