/** Small pieces of work at the same time, without knowing how many there will be. */
export interface Pool {
  /** Waits until there is room, and begins. Rejects with what an earlier one failed with. */
  add(bytes: number, work: () => Promise<void>): Promise<void>;
  /** Until nothing is under way. Rejects with what one failed with, when all have ended. */
  drain(): Promise<void>;
}

/** @param heldMaxBytes Of what all together hold in memory; a single one may hold more. */
export function createPool({ atOnceMax, heldMaxBytes }: { atOnceMax: number; heldMaxBytes: number }): Pool {
  const underway = new Set<Promise<void>>();
  let heldBytes = 0;
  let failure: { error: unknown } | null = null;

  function throwFailure() {
    if (failure !== null) throw failure.error;
  }

  return {
    async add(bytes, work) {
      while (underway.size >= atOnceMax || (underway.size > 0 && heldBytes + bytes > heldMaxBytes)) {
        await Promise.race(underway);
      }
      throwFailure();
      heldBytes += bytes;
      const run = work()
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => {
          heldBytes -= bytes;
          underway.delete(run);
        });
      underway.add(run);
    },
    async drain() {
      await Promise.all(underway);
      throwFailure();
    },
  };
}
