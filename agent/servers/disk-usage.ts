import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Logger } from 'pino';

/** How much the servers' directories hold, measured one after the other by a process of its own. */
export interface DiskUsage {
  /** The last figure; asking for it has it measured again when it is old. Undefined: not known yet. */
  measuredMb(directory: string): number | undefined;
}

const MAX_AGE_MS = 60_000;
const MEASUREMENT_MAX_MS = 60_000;

export function createDiskUsage(log: Logger): DiskUsage {
  const known = new Map<string, { megabytes: number | undefined; measuredAtMs: number }>();
  let queue: Promise<void> = Promise.resolve();

  async function measure(directory: string): Promise<void> {
    const megabytes = await countMegabytes(directory);
    known.set(directory, { megabytes, measuredAtMs: performance.now() });
  }

  return {
    measuredMb(directory) {
      const last = known.get(directory);
      if (last === undefined || performance.now() - last.measuredAtMs > MAX_AGE_MS) {
        // Marked as new at once, so that it is in the queue only once.
        known.set(directory, { megabytes: last?.megabytes, measuredAtMs: Number.POSITIVE_INFINITY });
        queue = queue
          .then(() => measure(directory))
          .catch((error: unknown) => {
            known.delete(directory);
            log.warn({ error, directory }, 'the disk usage of a server could not be measured');
          });
      }
      return last?.megabytes;
    },
  };
}

async function countMegabytes(directory: string): Promise<number> {
  return Math.round(((await measureBytes(directory)) / 1024 / 1024) * 10) / 10;
}

/** What the directory takes on its disk, counted now. */
export async function measureBytes(directory: string): Promise<number> {
  // `du` ends with 1 when files vanish under it; what it has counted is right all the same.
  const child = spawn('du', ['-skx', '--', directory], {
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: MEASUREMENT_MAX_MS,
  });
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  const kilobytes = Number.parseInt(output, 10);
  if (Number.isNaN(kilobytes)) throw new Error('du told no size');
  return kilobytes * 1024;
}
