import { constants } from 'node:os';
import type { RuntimeServer } from '../runtime/runtime.js';
import type { Launch } from './record.js';
import { Refusal } from './refusal.js';
import { settlesWithin } from './wait.js';

/** A run, and the promise that settles when its end has been dealt with. */
export interface Run {
  server: RuntimeServer;
  ended: Promise<void>;
}

const KILL_TIMEOUT_MS = 10_000;

/**
 * Ask the server to end, by its console command or else by a signal.
 * @returns Whether it did within the time.
 */
export async function askToStop(
  run: Run,
  launch: Launch,
  timeoutMs: number,
  closing: AbortSignal,
): Promise<boolean> {
  const startedAtMs = performance.now();
  if (launch.stopCommand === null || launch.stopCommand === '') {
    await run.server.signal(toSignal(launch.stopSignal));
  } else if (launch.stopCommand === '^C') {
    // How the templates of other panels write it.
    await run.server.signal('SIGINT');
  } else {
    // A server that does not read its console still gets the chance that a signal gives.
    await run.server.write(`${launch.stopCommand}\n`).catch(() => run.server.signal('SIGTERM'));
  }
  const leftMs = Math.max(0, timeoutMs - (performance.now() - startedAtMs));
  return settlesWithin(run.ended, leftMs, closing);
}

export async function killRun(run: Run, closing: AbortSignal): Promise<void> {
  await run.server.signal('SIGKILL');
  if (await settlesWithin(run.ended, KILL_TIMEOUT_MS, closing)) return;
  if (closing.aborted) return;
  throw new Refusal('server.kill_failed', 'The server was killed but has not ended. The node needs a look.');
}

function toSignal(name: string | null): NodeJS.Signals {
  return name !== null && name in constants.signals ? (name as NodeJS.Signals) : 'SIGTERM';
}
