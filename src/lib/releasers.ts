import type { Log } from './log.js';

/** Whoever opens something pushes how it is closed. */
export interface Releasers {
  push(name: string, release: () => Promise<void> | void): void;
  /** Close everything, the last opened first. A failure is logged and the rest goes on. */
  releaseAll(): Promise<void>;
}

export function createReleasers(log: Log): Releasers {
  const waiting: { name: string; release: () => Promise<void> | void }[] = [];
  return {
    push: (name, release) => waiting.push({ name, release }),
    async releaseAll() {
      for (let last = waiting.pop(); last; last = waiting.pop()) {
        try {
          await last.release();
        } catch (error) {
          log.error({ err: error }, `closing the ${last.name} failed`);
        }
      }
    },
  };
}
