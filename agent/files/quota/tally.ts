import type { Logger } from 'pino';

/**
 * What one server has on the disk: what was found there last, and what we have done since. Wherever the two cannot be
 * told apart it is too much rather than too little, until the next measurement.
 */
export interface Tally {
  /** Null: never measured. */
  usedBytes(): number | null;
  ageMs(): number;
  /** It may be too much by what was removed while the last measurement was under way. */
  readonly isOverstated: boolean;
  promisedBytes: number;
  add(bytes: number): void;
  remove(bytes: number): void;
  /** Settles, never rejecting, with what the measurement that is under way or begins now finds; null: it failed. */
  measure(): Promise<number | null>;
  /** As `measure`, but never with one that began before. */
  measureAfresh(): Promise<number | null>;
}

/** Bytes that are on the disk now. */
export interface Measure {
  (serverUuid: string, directory: string): Promise<number>;
  /** The server is gone. */
  forget?(serverUuid: string): void;
}

export interface TallyOptions {
  serverUuid: string;
  directory: string;
  measure: Measure;
  log: Logger;
}

export function createTally({ serverUuid, directory, measure, log }: TallyOptions): Tally {
  let measuredBytes: number | null = null;
  let measuredAtMs = Number.NEGATIVE_INFINITY;
  /** Since the last measurement began; it may have seen some of it. */
  let addedBytes = 0;
  /** Since the last measurement ended. */
  let removedBytes = 0;
  let isOverstated = false;
  let underway: Promise<number | null> | null = null;

  async function count(): Promise<number | null> {
    const startedAtMs = performance.now();
    const addedBefore = addedBytes;
    isOverstated = false;
    try {
      const bytes = await measure(serverUuid, directory);
      if (!Number.isSafeInteger(bytes) || bytes < 0) throw new Error(`This is no size: ${bytes}`);
      measuredBytes = bytes;
      addedBytes -= addedBefore;
      removedBytes = 0;
      measuredAtMs = startedAtMs;
      return bytes;
    } catch (error) {
      log.warn({ error, directory }, 'the disk usage of a server could not be measured');
      // Not asked for without end, if there is a figure to go by.
      if (measuredBytes !== null) measuredAtMs = startedAtMs;
      return null;
    } finally {
      underway = null;
    }
  }
  const begin = () => {
    underway ??= count();
    return underway;
  };
  const foundBytes = () => (measuredBytes ?? 0) + addedBytes - removedBytes;

  return {
    usedBytes: () => (measuredBytes === null ? null : foundBytes()),
    ageMs: () => performance.now() - measuredAtMs,
    get isOverstated() {
      return isOverstated;
    },
    promisedBytes: 0,
    add(bytes) {
      addedBytes += requireSize(bytes);
    },
    remove(bytes) {
      requireSize(bytes);
      // Whether the measurement saw it before it was removed, nobody knows.
      if (underway !== null) isOverstated = true;
      // What the game made since counts for nothing yet: removing it makes no room either.
      else removedBytes += Math.min(bytes, foundBytes());
    },
    measure: begin,
    async measureAfresh() {
      await underway;
      return await begin();
    },
  };
}

function requireSize(bytes: number): number {
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw new RangeError(`This is no size: ${bytes}`);
}
