import type { Logger } from 'pino';
import type { Actions } from './actions.js';
import type { Console } from './console.js';
import { type CrashTimings, unavailableRetryMs } from './crash-policy.js';
import type { Status } from './status.js';

export interface RestartsOptions {
  status: Status;
  console: Console;
  actions: Actions;
  timings: CrashTimings;
  closing: AbortSignal;
  /** Start it again; what goes wrong is dealt with in there. */
  attempt(signal: AbortSignal): Promise<void>;
  log: Logger;
}

/** The one start that the crash policy has planned for a server, at the time that is in its record. */
export interface Restarts {
  schedule(): void;
  cancel(): void;
  /**
   * That nothing could be started is not the server's doing: no crash is counted, and it is tried for ever.
   * @param message Why, as a sentence.
   */
  postpone(message: string): void;
  /** Stop waiting; the record keeps the time. */
  stop(): void;
}

export function createRestarts(options: RestartsOptions): Restarts {
  const { status, console, actions, timings, closing, attempt, log } = options;
  const { serverId } = status.record;
  let timer: NodeJS.Timeout | null = null;
  /** How often in a row it could not be tried because the runtime was not there. */
  let vainCount = 0;

  function stop() {
    if (timer !== null) clearTimeout(timer);
    timer = null;
  }

  function schedule() {
    const { restartAt } = status.record;
    if (restartAt === null || closing.aborted) return;
    const waitMs = untilMs(Date.parse(restartAt), timings.crashBackoffMaxMs);
    timer = setTimeout(() => {
      actions.perform('start', attempt).catch((error: unknown) => {
        log.error({ serverId, error }, 'a crashed server could not be started again');
      });
    }, waitMs);
  }

  return {
    schedule,
    cancel() {
      stop();
      vainCount = 0;
      if (status.record.restartAt !== null) status.remember({ restartAt: null });
    },
    postpone(message) {
      vainCount += 1;
      if (vainCount === 1) console.announce(`${message} The server is started again as soon as it answers.`);
      const retryAtMs = Date.now() + unavailableRetryMs(vainCount, timings);
      const reason = `waits to be started again: ${message}`;
      const restartAt = new Date(retryAtMs).toISOString();
      status.update({ state: 'crashed', desired: 'running', reason, restartAt });
      schedule();
    },
    stop,
  };
}

/** How long to wait for a time that was planned to be `maxMs` away at most: the clock may have been set back. */
export function untilMs(timeMs: number, maxMs: number): number {
  return Math.min(maxMs, Math.max(0, timeMs - Date.now()));
}
