/** In the order it comes, shared work goes side by side, and exclusive work alone. */
export interface ReadWriteLock {
  shared<Result>(work: () => Promise<Result>): Promise<Result>;
  exclusive<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** @param sharedMax So much at once. */
export function createReadWriteLock(sharedMax: number): ReadWriteLock {
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

  async function run<Result>(isShared: boolean, work: () => Promise<Result>): Promise<Result> {
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
  }

  return { shared: (work) => run(true, work), exclusive: (work) => run(false, work) };
}
