import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import type { Logger } from 'pino';
import type { OutputListener, RuntimeServer, ServerExit } from '../runtime.js';
import { callEngine, inspectContainer, waitWhileRunning } from './call.js';
import { hasEndedByItself } from './ending.js';
import { engineStatus, isMissing } from './errors.js';
import type { ServerInput } from './input.js';
import { followOutput } from './output.js';
import { createUsageMeter } from './stats.js';

const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 10_000;

/** Take up a container that was started: follow its output from the cursor on, and wait for its end. */
export function followServer(options: {
  docker: Docker;
  container: Docker.Container;
  startedAt: Date;
  input: ServerInput;
  cursor: string | null;
  listener: OutputListener;
  log: Logger;
}): RuntimeServer {
  const { docker, container, startedAt, input, log } = options;
  const output = followOutput(options);
  const detached = new AbortController();
  let isSignalled = false;

  return {
    containerId: container.id,
    startedAt,
    exited: settleExit(),
    write: input.write,
    usage: createUsageMeter(container, startedAt),
    pauseOutput: output.pause,
    resumeOutput: output.resume,
    async signal(signal) {
      isSignalled = true;
      try {
        // SIGKILL hits the container's first process, and with it the kernel ends everything else in there.
        await callEngine(container, (abortSignal) => container.kill({ signal, abortSignal }));
      } catch (error) {
        const hasEnded = isMissing(error) || engineStatus(error) === 409;
        if (!hasEnded) throw error;
      }
    },
    detach() {
      detached.abort();
      output.stop();
      input.close();
    },
  };

  async function settleExit(): Promise<ServerExit> {
    const exit = await waitForExit(container, detached.signal, log);
    // Nobody waits any more for a server that was let go of.
    if (exit === null) return new Promise(() => undefined);
    input.close();
    const isTrusted =
      isSignalled || exit.exitCode !== 0 || (await hasEndedByItself(docker, container.id, exit));
    await output.finish();
    return isTrusted ? exit : { ...exit, exitCode: null };
  }
}

/**
 * Null once `signal` is aborted. An engine that does not answer says nothing about the container: it is asked again
 * until it does, because a server that runs on must never be taken for one that has ended.
 */
export async function waitForExit(
  container: Docker.Container,
  signal: AbortSignal,
  log: Logger,
): Promise<ServerExit | null> {
  let retryMs = RETRY_MIN_MS;
  while (!signal.aborted) {
    try {
      await waitWhileRunning(container, signal);
      // A stopping engine ends the wait too, so only the container's own state counts.
      const exit = await readExit(container);
      if (exit !== null) return exit;
    } catch (error) {
      if (signal.aborted) break;
      if (isMissing(error)) return { exitCode: null, oomKilled: false, finishedAt: new Date() };
      log.warn(
        { error, containerId: container.id },
        'waiting for the end of a container failed, trying again',
      );
    }
    await sleep(retryMs, undefined, { signal }).catch(() => undefined);
    retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  }
  return null;
}

async function readExit(container: Docker.Container): Promise<ServerExit | null> {
  const { State } = await inspectContainer(container);
  if (State.Status !== 'exited' && State.Status !== 'dead') return null;
  return { exitCode: State.ExitCode, oomKilled: State.OOMKilled, finishedAt: new Date(State.FinishedAt) };
}
