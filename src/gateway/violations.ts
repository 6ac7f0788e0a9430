import type { Log } from '../lib/log.js';
import { createTokenBucket } from '../lib/token-bucket.js';

const WINDOW_MS = 60_000;
const VIOLATIONS_MAX = 1000;
const LOGGED = { capacity: 5, refillPerSecond: 0.1 };

export interface Violations {
  /** What an agent must not send was ignored. */
  count(violation: string, fields?: Record<string, unknown>): void;
}

/** Counts and logs them, the log at a rate that cannot fill a disk. */
export function createViolations({
  nodeId,
  log,
  onTooMany,
}: {
  nodeId: string;
  log: Log;
  onTooMany: () => void;
}): Violations {
  const logged = createTokenBucket(LOGGED);
  let windowStartedAt = Date.now();
  let inWindow = 0;
  let total = 0;
  return {
    count(violation, fields) {
      const now = Date.now();
      if (now - windowStartedAt > WINDOW_MS) {
        windowStartedAt = now;
        inWindow = 0;
      }
      inWindow += 1;
      total += 1;
      if (logged.take()) log.warn({ nodeId, violation, total, ...fields }, 'ignored a message of an agent');
      if (inWindow === VIOLATIONS_MAX + 1) onTooMany();
    },
  };
}
