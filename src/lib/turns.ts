export interface Turns {
  /** Does the work when all earlier works of the same key are done. */
  take<Result>(key: string, work: () => Promise<Result>): Promise<Result>;
  /** Resolves when nothing is left to do. */
  settled(): Promise<void>;
}

/**
 * One work at a time for each key, in the order they came.
 * @param isHopeless Whether a failure is also that of everybody who waits already: they need not try one by one.
 */
export function createTurns({
  isHopeless = () => false,
}: {
  isHopeless?: (error: unknown) => boolean;
} = {}): Turns {
  /** The last work of each key; it resolves with the failure that ends the works behind it, if there is one. */
  const tails = new Map<string, Promise<{ error: unknown } | null>>();

  return {
    take(key, work) {
      const earlier = tails.get(key) ?? Promise.resolve(null);
      const done = earlier.then((failure) => {
        if (failure) throw failure.error;
        return work();
      });
      const tail = done
        .then(
          () => null,
          (error: unknown) => (isHopeless(error) ? { error } : null),
        )
        .finally(() => {
          if (tails.get(key) === tail) tails.delete(key);
        });
      tails.set(key, tail);
      return done;
    },
    async settled() {
      while (tails.size > 0) await Promise.all(tails.values());
    },
  };
}
