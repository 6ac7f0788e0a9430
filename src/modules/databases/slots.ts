export interface Slots {
  /**
   * Resolves with what gives the slot back, as soon as the key has one free.
   * Rejects when too many wait already, or none came free in time.
   */
  take(key: string): Promise<() => void>;
}

interface Waiter {
  give(): void;
}

/** So many at once of each key; the others wait in line. */
export function createSlots({
  max,
  waitingMax,
  waitTimeoutMs,
}: {
  max: number;
  waitingMax: number;
  waitTimeoutMs: number;
}): Slots {
  const lines = new Map<string, { taken: number; waiting: Set<Waiter> }>();

  function release(key: string): void {
    const line = lines.get(key);
    if (!line) return;
    const [first] = line.waiting;
    if (first) {
      // The slot is handed on rather than freed, so nobody can slip in between.
      line.waiting.delete(first);
      first.give();
      return;
    }
    line.taken -= 1;
    if (line.taken === 0) lines.delete(key);
  }

  return {
    async take(key) {
      const line = lines.get(key) ?? { taken: 0, waiting: new Set<Waiter>() };
      lines.set(key, line);
      if (line.taken < max) line.taken += 1;
      else if (line.waiting.size >= waitingMax) throw new Error('too much is under way already');
      else await wait(line.waiting, waitTimeoutMs);
      return () => release(key);
    },
  };
}

function wait(waiting: Set<Waiter>, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const waiter = {
      give() {
        clearTimeout(timer);
        resolve();
      },
    };
    const timer = setTimeout(() => {
      waiting.delete(waiter);
      reject(new Error('too much was under way for too long'));
    }, timeoutMs);
    waiting.add(waiter);
  });
}
