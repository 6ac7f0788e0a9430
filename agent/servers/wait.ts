/** Whether the promise settled within the time; false at once when `signal` is aborted. */
export async function settlesWithin(
  promise: Promise<unknown>,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const waiting = new AbortController();
  const settled = promise.then(
    () => true,
    () => true,
  );
  const gaveUp = pause(timeoutMs, signal ? AbortSignal.any([signal, waiting.signal]) : waiting.signal);
  try {
    return await Promise.race([settled, gaveUp.then(() => false)]);
  } finally {
    waiting.abort();
  }
}

/** Settles after the time, or as soon as `signal` is aborted; it never rejects. */
export function pause(waitMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, waitMs);
    signal.addEventListener('abort', finish);
  });
}
