/** A token bucket: so much at a sustained rate, and a burst. */
export interface Throttle {
  /** Whether there was enough left; if so, it is taken. */
  take(amount: number): boolean;
}

export function createThrottle(
  ratePerSecond: number,
  burst: number,
  now: () => number = performance.now.bind(performance),
): Throttle {
  let available = burst;
  let filledAtMs = now();
  return {
    take(amount) {
      if (available < amount) {
        const nowMs = now();
        available = Math.min(burst, available + ((nowMs - filledAtMs) / 1000) * ratePerSecond);
        filledAtMs = nowMs;
        if (available < amount) return false;
      }
      available -= amount;
      return true;
    },
  };
}
