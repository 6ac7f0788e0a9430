import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from './system-errors.js';

/** A process, told apart from a later one that was given the same number. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks after boot; null where there is no /proc to tell. */
  startTime: number | null;
}

const POLL_INTERVAL_MS = 20;

export function identifyProcess(pid: number): ProcessIdentity {
  return { pid, startTime: readStartTime(pid) };
}

/** False for a zombie, too: it has ended and only waits to be collected. */
export function isProcessAlive({ pid, startTime }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    if (!hasCode(error, 'EPERM')) return false;
  }
  return startTime === null || readStartTime(pid) === startTime;
}

/** Resolves with true when it has ended, with false when that takes longer. */
export async function waitForProcessEnd(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isProcessAlive(identity)) {
    if (Date.now() > deadline) return false;
    await delay(POLL_INTERVAL_MS);
  }
  return true;
}

/** No error when it has ended. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (isProcessAlive(identity)) process.kill(identity.pid, signal);
}

function readStartTime(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, in parentheses, may hold anything; after it come the state, which is field 3, and the rest of
    // proc(5)'s fields. Field 22 is the start time.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : Number(fields[22 - 3]);
  } catch {
    return null;
  }
}
