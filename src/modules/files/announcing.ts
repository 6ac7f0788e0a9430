/** Of one task. */
const INTERVAL_MS = 500;

/** Announces changes at most twice a second, and the end at once. */
export function announceSparingly(announce: () => void): { changed(): void; ended(): void } {
  let announcedAtMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;

  function say(): void {
    clearTimeout(timer);
    timer = undefined;
    announcedAtMs = performance.now();
    announce();
  }

  return {
    changed() {
      const waitMs = announcedAtMs + INTERVAL_MS - performance.now();
      if (waitMs <= 0) say();
      else timer ??= setTimeout(say, waitMs);
    },
    ended: say,
  };
}
