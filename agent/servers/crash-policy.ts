import type { ServerExit } from '../runtime/runtime.js';
import type { ServerRecord } from './record.js';

export interface CrashTimings {
  crashBackoffMinMs: number;
  crashBackoffMaxMs: number;
  /** After so long a run the count starts again. */
  healthyAfterMs: number;
}

export type CrashPolicy = Pick<ServerRecord['launch'], 'restartPolicy' | 'maxCrashCount'>;

/** What runs the servers is back within minutes as a rule, and then they should be too. */
const UNAVAILABLE_RETRY_MAX_MS = 30_000;

export type Verdict =
  | { kind: 'ended'; reason: string }
  | { kind: 'crashed'; reason: string; crashCount: number; restartInMs: number | null };

type History = Pick<ServerRecord, 'launch' | 'crashCount' | 'runningAt'>;

/** What to make of an end that nobody asked for. */
export function judgeExit(exit: ServerExit, history: History, timings: CrashTimings): Verdict {
  const { restartPolicy } = history.launch;
  if (exit.exitCode === 0 && restartPolicy !== 'always') {
    return { kind: 'ended', reason: 'exited by itself with code 0' };
  }
  return judgeFailure(describe(exit), exit.finishedAt, history, timings);
}

/** How long to wait before a start that could not even be tried is tried again; it counts as nothing. */
export function unavailableRetryMs(attempts: number, timings: CrashTimings): number {
  const maxMs = Math.min(UNAVAILABLE_RETRY_MAX_MS, timings.crashBackoffMaxMs);
  return Math.min(maxMs, timings.crashBackoffMinMs * 2 ** (attempts - 1));
}

/** A crash, or a start that the crash policy asked for and that failed. */
export function judgeFailure(reason: string, at: Date, history: History, timings: CrashTimings): Verdict {
  const { restartPolicy, maxCrashCount } = history.launch;
  const runMs = history.runningAt === null ? 0 : at.getTime() - Date.parse(history.runningAt);
  const crashCount = (runMs >= timings.healthyAfterMs ? 0 : history.crashCount) + 1;
  if (restartPolicy === 'never') return { kind: 'crashed', reason, crashCount, restartInMs: null };
  if (crashCount > maxCrashCount) {
    const given = `${reason}; crashed ${crashCount} times, so it is not started again by itself`;
    return { kind: 'crashed', reason: given, crashCount, restartInMs: null };
  }
  const restartInMs = Math.min(timings.crashBackoffMaxMs, timings.crashBackoffMinMs * 2 ** (crashCount - 1));
  return { kind: 'crashed', reason, crashCount, restartInMs };
}

function describe({ exitCode, oomKilled }: ServerExit): string {
  if (oomKilled) return 'ran out of memory and was killed';
  if (exitCode === null) return 'was ended from outside or while nothing watched it, so it counts as crashed';
  return exitCode > 128 && exitCode < 160
    ? `ended by signal ${exitCode - 128} (code ${exitCode})`
    : `exited with code ${exitCode}`;
}
