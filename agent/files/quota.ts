import type { Logger } from 'pino';
import { measureBytes } from '../servers/disk-usage.js';
import { FileError } from './errors.js';
import type { FileServer } from './service.js';

/** What servers may have on the disk, for those who write on behalf of their users. */
export interface Quota {
  account(serverUuid: string, server: FileServer): Account;
  forget(serverUuid: string): void;
}

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

interface Tally {
  /** Of the last measurement; null: never measured. */
  measuredBytes: number | null;
  measuredAtMs: number;
  /** What we wrote and removed since it began, some of which it may have seen. */
  changedBytes: number;
  promisedBytes: number;
  underway: Promise<void> | null;
}

export function createQuota(log: Logger): Quota {
  const tallies = new Map<string, Tally>();

  function tallyOf(serverUuid: string): Tally {
    const known = tallies.get(serverUuid);
    if (known !== undefined) return known;
    const tally: Tally = {
      measuredBytes: null,
      measuredAtMs: Number.NEGATIVE_INFINITY,
      changedBytes: 0,
      promisedBytes: 0,
      underway: null,
    };
    tallies.set(serverUuid, tally);
    return tally;
  }

  return {
    account: (serverUuid, server) => openAccount(tallyOf(serverUuid), server, log),
    forget: (serverUuid) => tallies.delete(serverUuid),
  };
}

function openAccount(tally: Tally, { directory, limitBytes }: FileServer, log: Logger): Account {
  const ageMs = () => performance.now() - tally.measuredAtMs;

  async function measure(): Promise<void> {
    const startedAtMs = performance.now();
    const seenBytes = tally.changedBytes;
    try {
      tally.measuredBytes = await measureBytes(directory);
      tally.changedBytes -= seenBytes;
    } catch (error) {
      log.warn({ error, directory }, 'the disk usage of a server could not be measured');
    }
    if (tally.measuredBytes !== null) tally.measuredAtMs = startedAtMs;
    tally.underway = null;
  }
  const measureNow = () => {
    tally.underway ??= measure();
    return tally.underway;
  };

  async function usedBytes(): Promise<number> {
    if (ageMs() > MAX_AGE_MS) {
      const measurement = measureNow();
      if (tally.measuredBytes === null) await within(measurement, FIRST_MEASUREMENT_MAX_MS);
    }
    if (tally.measuredBytes === null) {
      throw new FileError(
        'file.busy',
        'What the server has on the disk is still being counted: try again soon.',
      );
    }
    return used();
  }
  const used = () => Math.max(0, (tally.measuredBytes ?? 0) + tally.changedBytes) + tally.promisedBytes;

  async function promise(bytes: number): Promise<void> {
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw exceeded(limitBytes);
    if (limitBytes !== null && bytes > 0) {
      await usedBytes();
      if (bytes > limitBytes - used() && bytes <= limitBytes && ageMs() > REFUSAL_MAX_AGE_MS) {
        await within(measureNow(), FIRST_MEASUREMENT_MAX_MS);
      }
      // From here to the promise nobody else gets a turn.
      if (bytes > limitBytes - used()) throw exceeded(limitBytes);
    }
    tally.promisedBytes += bytes;
  }

  return {
    usedBytes,
    async claim(bytes) {
      await promise(bytes);
      let [promisedBytes, writtenBytes] = [bytes, 0];
      return {
        async grow(more) {
          await promise(more);
          promisedBytes += more;
        },
        wrote(some) {
          promisedBytes -= some;
          tally.promisedBytes -= some;
          writtenBytes += some;
          tally.changedBytes += some;
        },
        end(isKept) {
          tally.promisedBytes -= promisedBytes;
          if (!isKept) tally.changedBytes -= writtenBytes;
          [promisedBytes, writtenBytes] = [0, 0];
        },
      };
    },
    credit(bytes) {
      tally.changedBytes -= bytes;
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
async function within(work: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}
