import { AppError } from '../../lib/errors.js';
import { STREAMS_PER_SERVER_MAX } from '../../protocol/data-plane.js';

/** Of a server's places so many stay free for what is quick, however slow those are who fetch or send its files. */
const KEPT_FOR_OPERATIONS = 4;
const TRANSFERS_MAX = STREAMS_PER_SERVER_MAX - KEPT_FOR_OPERATIONS;
/** Apart from the others: what takes hours must not take the places of what takes moments. */
const WORKS_MAX = 8;
const WAITING_PER_SERVER_MAX = 256;
const WAIT_TIMEOUT_MS = 30_000;

export type SlotKind = 'operation' | 'transfer' | 'work';

interface Waiting {
  kind: SlotKind;
  enter: () => void;
}

/** What happens at once with the files of one server. */
export interface Slots {
  /**
   * Waits for a place, in turn, and answers how it is given back; more than once does no harm. Throws `file.busy` when
   * too many wait, or it takes too long.
   */
  take(kind: SlotKind, signals: readonly AbortSignal[]): Promise<() => void>;
  isEmpty(): boolean;
}

export function createSlots(): Slots {
  const waiting = new Set<Waiting>();
  const taken = { operation: 0, transfer: 0, work: 0 };

  function hasPlace(kind: SlotKind): boolean {
    if (kind === 'work') return taken.work < WORKS_MAX;
    const isFull = taken.operation + taken.transfer >= STREAMS_PER_SERVER_MAX;
    return !isFull && (kind === 'operation' || taken.transfer < TRANSFERS_MAX);
  }

  function occupy(kind: SlotKind): () => void {
    taken[kind] += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      taken[kind] -= 1;
      admit();
    };
  }

  function admit(): void {
    for (const next of waiting) {
      if (!hasPlace(next.kind)) continue;
      waiting.delete(next);
      next.enter();
    }
  }

  return {
    async take(kind, signals) {
      for (const signal of signals) signal.throwIfAborted();
      if (hasPlace(kind)) return occupy(kind);
      if (waiting.size >= WAITING_PER_SERVER_MAX) throw new AppError('file.busy');
      return new Promise((resolve, reject) => {
        const leave = (error: unknown) => {
          waiting.delete(entry);
          settle();
          reject(error);
        };
        const onAbort = (event: Event) => leave(event.target instanceof AbortSignal && event.target.reason);
        const timer = setTimeout(() => leave(new AppError('file.busy')), WAIT_TIMEOUT_MS);
        const settle = () => {
          clearTimeout(timer);
          for (const signal of signals) signal.removeEventListener('abort', onAbort);
        };
        const entry: Waiting = {
          kind,
          enter() {
            settle();
            resolve(occupy(kind));
          },
        };
        for (const signal of signals) signal.addEventListener('abort', onAbort);
        waiting.add(entry);
      });
    },
    isEmpty: () => waiting.size === 0 && taken.operation + taken.transfer + taken.work === 0,
  };
}
