import { setTimeout as delay } from 'node:timers/promises';

/** So many failures are answered at once; after each further one the answer takes longer. */
const FREE_FAILURES = 3;
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 4000;
/** Failures that lie further back do not count. */
const FORGET_AFTER_MS = 15 * 60_000;
const ADDRESSES_MAX = 10_000;

/** Guessing gets slow, address by address. What can be guessed here is long; this keeps the noise down. */
export function createLoginThrottle() {
  const failures = new Map<string, { count: number; lastAtMs: number }>();

  function recent(address: string): number {
    const known = failures.get(address);
    return known && known.lastAtMs > Date.now() - FORGET_AFTER_MS ? known.count : 0;
  }

  return {
    /** Counts one and waits as long as there were some before. */
    async fail(address: string): Promise<void> {
      const count = recent(address) + 1;
      failures.delete(address);
      if (failures.size >= ADDRESSES_MAX) {
        // Maps keep the order of insertion: the first is the oldest.
        for (const oldest of failures.keys()) {
          failures.delete(oldest);
          break;
        }
      }
      failures.set(address, { count, lastAtMs: Date.now() });
      if (count <= FREE_FAILURES) return;
      const factor = 2 ** Math.min(count - FREE_FAILURES - 1, 10);
      await delay(Math.min(FIRST_DELAY_MS * factor, LONGEST_DELAY_MS), undefined, { ref: false });
    },
    succeed(address: string): void {
      failures.delete(address);
    },
  };
}

export type LoginThrottle = ReturnType<typeof createLoginThrottle>;
