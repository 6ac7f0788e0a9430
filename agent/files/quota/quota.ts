import type { Logger } from 'pino';
import { measureBytes } from '../../servers/disk-usage.js';
import type { FileServer } from '../contract.js';
import { FileError } from '../errors.js';
import { createTally, type Measure, type Tally } from './tally.js';

/** What servers have on the disk: measured in one place, for whoever wants to know. */
export interface Quota {
  account(serverUuid: string, server: FileServer): Account;
  /** The last figure, and how old it is; null: not measured yet. */
  lastUsage(serverUuid: string): { bytes: number; ageMs: number } | null;
  /**
   * Measured now; null when that is not possible. Only what was found: what was written meanwhile would count twice where
   * the measurement has seen it, and nobody is to be stopped for that.
   */
  measure(serverUuid: string, directory: string): Promise<number | null>;
  forget(serverUuid: string): void;
}

/** For those who write on behalf of a server's users. */
export interface Account {
  usedBytes(): Promise<number>;
  /** Room for one writer. Rejects with `file.quota_exceeded` when that is more than is left. */
  claim(bytes: number): Promise<Claim>;
  /** So much is no longer there. */
  credit(bytes: number): void;
}

/** What one writer has been promised. Everybody's promises count as used, so that together they fit. */
export interface Claim {
  /** @throws FileError, `file.quota_exceeded`. What was promised before stays so. */
  grow(bytes: number): Promise<void>;
  /** So much of it is on the disk now, where a measurement finds it. */
  wrote(bytes: number): void;
  /** What was not written of it is free again, and if it has been removed, what was written too. */
  end(isKept: boolean): void;
}

/** A file or directory takes this much even when it is empty. */
export const ENTRY_BYTES = 4096;
const MAX_AGE_MS = 60_000;
/** A limit is not enforced by a figure that is older than this: the game may have made room. */
const REFUSAL_MAX_AGE_MS = 5000;
const FIRST_MEASUREMENT_MAX_MS = 10_000;

/** @param measure Where the figures come from; without it directories are walked. */
export function createQuota(
  log: Logger,
  measure: Measure = (_serverUuid, directory) => measureBytes(directory),
): Quota {
  const tallies = new Map<string, Tally>();

  function tallyOf(serverUuid: string, directory: string): Tally {
    const known = tallies.get(serverUuid);
    if (known !== undefined) return known;
    const tally = createTally({ serverUuid, directory, measure, log });
    tallies.set(serverUuid, tally);
    return tally;
  }

  return {
    account: (serverUuid, server) => openAccount(tallyOf(serverUuid, server.directory), server.limitBytes),
    lastUsage(serverUuid) {
      const tally = tallies.get(serverUuid);
      const bytes = tally?.usedBytes() ?? null;
      return tally === undefined || bytes === null ? null : { bytes, ageMs: tally.ageMs() };
    },
    async measure(serverUuid, directory) {
      return await tallyOf(serverUuid, directory).measureAfresh();
    },
    forget(serverUuid) {
      tallies.delete(serverUuid);
      measure.forget?.(serverUuid);
    },
  };
}

function openAccount(tally: Tally, limitBytes: number | null): Account {
  const used = () => (tally.usedBytes() ?? 0) + tally.promisedBytes;

  async function usedBytes(): Promise<number> {
    if (tally.ageMs() > MAX_AGE_MS) {
      const measurement = tally.measure();
      if (tally.usedBytes() === null) await within(measurement, FIRST_MEASUREMENT_MAX_MS);
    }
    if (tally.usedBytes() === null) {
      throw new FileError(
        'file.busy',
        'What the server has on the disk is still being counted: try again soon.',
      );
    }
    return used();
  }

  async function promise(bytes: number): Promise<void> {
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw exceeded(limitBytes);
    if (limitBytes !== null && bytes > 0) {
      await usedBytes();
      const isDoubtful = tally.isOverstated || tally.ageMs() > REFUSAL_MAX_AGE_MS;
      if (bytes > limitBytes - used() && bytes <= limitBytes && isDoubtful) {
        await within(tally.measureAfresh(), FIRST_MEASUREMENT_MAX_MS);
      }
      // From here to the promise nobody else gets a turn.
      if (bytes > limitBytes - used()) throw exceeded(limitBytes);
    }
    if (!Number.isSafeInteger(tally.promisedBytes + bytes)) throw exceeded(limitBytes);
    tally.promisedBytes += bytes;
  }

  return {
    usedBytes,
    async claim(bytes) {
      await promise(bytes);
      return openClaim(tally, bytes, promise);
    },
    credit: tally.remove,
  };
}

function openClaim(tally: Tally, bytes: number, promise: (bytes: number) => Promise<void>): Claim {
  let [promisedBytes, writtenBytes] = [bytes, 0];
  return {
    async grow(more) {
      await promise(more);
      promisedBytes += more;
    },
    wrote(some) {
      tally.add(some);
      const kept = Math.min(some, promisedBytes);
      promisedBytes -= kept;
      tally.promisedBytes -= kept;
      writtenBytes += some;
    },
    end(isKept) {
      tally.promisedBytes -= promisedBytes;
      if (!isKept) tally.remove(writtenBytes);
      [promisedBytes, writtenBytes] = [0, 0];
    },
  };
}

function exceeded(limitBytes: number | null): FileError {
  const limit = limitBytes === null ? '' : ` of ${Math.floor(limitBytes / 1024 / 1024)} MB`;
  return new FileError(
    'file.quota_exceeded',
    `This is more than is left of the disk limit${limit} of the server: remove files.`,
  );
}

/** Whatever became of it by then. */
async function within(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}
