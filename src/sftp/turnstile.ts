/** Runs work in the order it comes: shared work side by side, so much at most, and exclusive work alone. */
export function createTurnstile(sharedMax: number) {
  const waiting: { isShared: boolean; start: () => void }[] = [];
  let running = 0;
  let isExclusive = false;

  function pump(): void {
    for (let first = waiting[0]; first; first = waiting[0]) {
      const mayStart = running === 0 || (first.isShared && !isExclusive && running < sharedMax);
      if (!mayStart) return;
      waiting.shift();
      running += 1;
      isExclusive = !first.isShared;
      first.start();
    }
  }

  return async function pass<Result>(isShared: boolean, work: () => Promise<Result>): Promise<Result> {
    await new Promise<void>((start) => {
      waiting.push({ isShared, start });
      pump();
    });
    try {
      return await work();
    } finally {
      running -= 1;
      pump();
    }
  };
}
