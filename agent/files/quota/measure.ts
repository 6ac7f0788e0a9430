import { measureBytes } from '../../servers/disk-usage.js';
import type { ProjectQuotas } from './project-quota.js';
import type { Measure } from './tally.js';

/** A game may take its files out of what the file system counts for it, so that they are walked through now and then. */
const WALK_INTERVAL_MS = 10 * 60_000;
/** The two ways of counting do not agree to the byte. */
const EXCESS_MIN_BYTES = 1024 * 1024;

export interface MeasureOptions {
  projects: Pick<ProjectQuotas, 'usedBytes'> | null;
  walkIntervalMs?: number;
}

/** What the file system has counted where it counts, which costs nothing; else what a walk finds. */
export function createMeasure({ projects, walkIntervalMs = WALK_INTERVAL_MS }: MeasureOptions): Measure {
  /** What the last walk found that is not counted. */
  const uncounted = new Map<string, { bytes: number; atMs: number }>();

  /** Null: it is not counted, or not any more. */
  async function count(serverUuid: string, directory: string): Promise<number | null> {
    if (projects === null) return null;
    return await projects.usedBytes(serverUuid, directory).catch(() => null);
  }

  async function walk(serverUuid: string, directory: string, counted: number): Promise<number> {
    const found = await measureBytes(directory);
    // It grew meanwhile, perhaps.
    const countedAfter = (await count(serverUuid, directory)) ?? 0;
    const excess = found - Math.max(counted, countedAfter);
    const bytes = excess >= EXCESS_MIN_BYTES ? excess : 0;
    uncounted.set(serverUuid, { bytes, atMs: performance.now() });
    return bytes;
  }

  async function measure(serverUuid: string, directory: string): Promise<number> {
    const counted = await count(serverUuid, directory);
    if (counted === null) return await measureBytes(directory);
    const last = uncounted.get(serverUuid);
    if (last === undefined) uncounted.set(serverUuid, { bytes: 0, atMs: performance.now() });
    else if (performance.now() - last.atMs >= walkIntervalMs)
      return counted + (await walk(serverUuid, directory, counted));
    return counted + (last?.bytes ?? 0);
  }

  return Object.assign(measure, { forget: (serverUuid: string) => void uncounted.delete(serverUuid) });
}
