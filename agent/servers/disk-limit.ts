import type { ServerRecord } from './record.js';
import { Refusal } from './refusal.js';
import { settlesWithin } from './wait.js';

/** What is known of the disk space that servers take. */
export interface DiskUsage {
  /** The last figure, and how old it is; null: not measured yet. */
  last(uuid: string): { bytes: number; ageMs: number } | null;
  /** Measured now, nothing added for what was written meanwhile; null when that is not possible. */
  measure(uuid: string): Promise<number | null>;
  /** Has the file system itself hold the server to its limit, where it can. Never rejects. */
  hold(uuid: string, diskMb: number): Promise<void>;
}

/** What the panel reads as the cause of a stop. */
export const DISK_LIMIT = 'disk_limit';
const REFUSAL_CODE = 'server.disk_limit_exceeded';
const MEGABYTE = 1024 * 1024;
const GIGABYTE = 1024 * MEGABYTE;
/** The file system's own bookkeeping for the files is no fault of the game. */
const TOLERANCE_BYTES = MEGABYTE;
/** A start waits so long for a measurement. */
const MEASUREMENT_MAX_MS = 10_000;

/** @param diskMb 0: no limit. */
export function isOverLimit(usedBytes: number, diskMb: number): boolean {
  return diskMb > 0 && usedBytes > diskMb * MEGABYTE + TOLERANCE_BYTES;
}

/** What a server was stopped for, or not started for, in one sentence and what to do about it. */
export function describeOverrun(what: string, usedBytes: number, diskMb: number): string {
  const limitBytes = diskMb * MEGABYTE;
  const [used, limit] = [inGigabytes(usedBytes), inGigabytes(limitBytes)];
  const isTold = limitBytes >= GIGABYTE && used !== limit;
  const takes = isTold ? `${used} GB` : `${Math.ceil(usedBytes / MEGABYTE)} MB`;
  const most = isTold ? `${limit} GB` : `${diskMb} MB`;
  return `${what}: its files take ${takes}, its disk limit is ${most}. Delete files or raise the limit.`;
}

/**
 * Rejects with a Refusal when the server takes more than its limit. That is looked at only if it did when it was last
 * looked at: every other start does not wait.
 */
export async function refuseOverLimit(record: ServerRecord, usage: DiskUsage): Promise<void> {
  const { uuid, isOverDiskLimit } = record;
  const { diskMb } = record.launch;
  const last = usage.last(uuid);
  if (!isOverDiskLimit && (last === null || !isOverLimit(last.bytes, diskMb))) return;
  const measurement = usage.measure(uuid);
  const isDone = await settlesWithin(measurement, MEASUREMENT_MAX_MS);
  const bytes = isDone ? await measurement : usage.last(uuid)?.bytes;
  if (bytes === undefined || bytes === null || !isOverLimit(bytes, diskMb)) return;
  throw new Refusal(REFUSAL_CODE, describeOverrun('The server is not started', bytes, diskMb));
}

export function isDiskRefusal(error: unknown): boolean {
  return error instanceof Refusal && error.code === REFUSAL_CODE;
}

function inGigabytes(bytes: number): string {
  return (bytes / GIGABYTE).toFixed(1);
}
