export interface TokenBucket {
  /** Whether there was a token left; it is gone then. */
  take(): boolean;
}

/** So many at once, and on average no more than are refilled. */
export function createTokenBucket({
  capacity,
  refillPerSecond,
}: {
  capacity: number;
  refillPerSecond: number;
}): TokenBucket {
  let tokens = capacity;
  let filledAt = performance.now();
  return {
    take() {
      const now = performance.now();
      tokens = Math.min(capacity, tokens + ((now - filledAt) / 1000) * refillPerSecond);
      filledAt = now;
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}
