/** Memory for the content of many small files, which is given back all at once. */
export interface Arena {
  /** Null: there is not so much left. */
  take(bytes: number): Buffer | null;
  /** Nothing that was taken may be used any more. */
  release(): void;
}

/**
 * The same memory again and again: gigabytes that pass through memory of their own keep the collector of garbage busier
 * than the work itself.
 * @returns What gives one, or null when all are in use.
 */
export function createArenas({ countMax, bytes }: { countMax: number; bytes: number }): () => Arena | null {
  const free: Buffer[] = [];
  let count = 0;
  return () => {
    if (free.length === 0 && count === countMax) return null;
    if (free.length === 0) count += 1;
    const memory = free.pop() ?? Buffer.allocUnsafeSlow(bytes);
    let used = 0;
    return {
      take(wanted) {
        if (used + wanted > memory.length) return null;
        used += wanted;
        return memory.subarray(used - wanted, used);
      },
      release() {
        used = memory.length;
        free.push(memory);
      },
    };
  };
}
