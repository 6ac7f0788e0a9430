/** A client that opens a dashboard of some hundred servers speaks a lot at first; afterwards people type. */
const MESSAGES_PER_SECOND = 50;
const BURST_MESSAGES = 600;
/** Who goes on speaking that far beyond what is allowed is sent away. */
const DEBT_MAX_MESSAGES = 500;

export type Verdict = 'allowed' | 'over' | 'far-over';

/** A token bucket that remembers what was taken beyond its bottom. */
export function createMessageRate(nowMs = Date.now()): (nowMs?: number) => Verdict {
  let tokens = BURST_MESSAGES;
  let countedAtMs = nowMs;
  return (atMs = Date.now()) => {
    tokens = Math.min(BURST_MESSAGES, tokens + ((atMs - countedAtMs) / 1000) * MESSAGES_PER_SECOND) - 1;
    countedAtMs = atMs;
    if (tokens >= 0) return 'allowed';
    return tokens < -DEBT_MAX_MESSAGES ? 'far-over' : 'over';
  };
}
