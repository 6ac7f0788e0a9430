import type { Logger } from 'pino';
import type { Configurator } from '../config-files/configurator.js';
import {
  RUNTIME_UNAVAILABLE,
  type Runtime,
  type RuntimeServer,
  type ServerExit,
} from '../runtime/runtime.js';
import type { Actions } from './actions.js';
import type { Console } from './console.js';
import { type CrashTimings, judgeExit, judgeFailure, type Verdict } from './crash-policy.js';
import type { ServerDirectories } from './directories.js';
import { type DiskUsage, isDiskRefusal, refuseOverLimit } from './disk-limit.js';
import { followOutput, type OutputFollower } from './output.js';
import { settleOwnership } from './ownership.js';
import { Refusal, toRefusal } from './refusal.js';
import { createRestarts, untilMs } from './restarts.js';
import { toPlan } from './specification.js';
import { createStartupDetector } from './startup-detection.js';
import type { Status } from './status.js';
import { askToStop, killRun, type Run } from './stop.js';

export interface LifecycleOptions {
  status: Status;
  runtime: Runtime;
  directories: ServerDirectories;
  configurator: Configurator;
  diskUsage: DiskUsage;
  console: Console;
  actions: Actions;
  timings: CrashTimings;
  /** Aborted when the agent ends or the server is deleted. */
  closing: AbortSignal;
  log: Logger;
}

/** The runs of one server, from launch to end, and what follows an end that nobody asked for. */
export interface Lifecycle {
  readonly run: Run | null;
  /** Start it, or leave it down with the reason and reject. */
  launch(signal: AbortSignal): Promise<void>;
  /** Take up what an earlier agent process started; if it has ended, deal with its end. */
  adopt(): Promise<void>;
  /** Ask it to end, and kill it when it has not within the time. The intent must have been remembered. */
  end(timeoutMs: number): Promise<void>;
  kill(): Promise<void>;
  /** Go on waiting for the time at which the crash policy starts it again. */
  scheduleRestart(): void;
  cancelRestart(): void;
  detach(): void;
}

export function createLifecycle(options: LifecycleOptions): Lifecycle {
  const { status, runtime, directories, configurator, console, timings, closing, log } = options;
  const { serverId, uuid } = status.record;
  let run: Run | null = null;
  let follower: OutputFollower | null = null;
  /** Why an intended end was not an ordinary stop. */
  let endReason: string | null = null;
  let healthyTimer: NodeJS.Timeout | null = null;
  /** Settles when what the runtime kept of the last run is gone; only then can there be another. */
  let released: Promise<void> = Promise.resolve();

  const restarts = createRestarts({ ...options, attempt: restartAfterCrash });

  async function start(signal: AbortSignal): Promise<void> {
    restarts.cancel();
    endReason = null;
    await refuseOverLimit(status.record, options.diskUsage);
    const beginning = { reason: null, exitCode: null, oomKilled: false, startedAt: null, runningAt: null };
    const wanted = { desired: 'running', intent: null, isOverDiskLimit: false } as const;
    status.update({ ...beginning, ...wanted, state: 'starting' });
    console.beginRun();
    status.remember({ runFirstSeq: console.lastSeq + 1 });
    const plan = toPlan(status.record, await prepareDirectory(signal));
    await released;
    const output = watchOutput();
    attach(await runtime.start(plan, output.listener), output);
    if (signal.aborted) await kill();
  }

  async function launch(signal: AbortSignal): Promise<void> {
    try {
      await start(signal);
    } catch (error) {
      const refusal = toRefusal(error, 'start.failed');
      log.warn({ serverId, error }, 'a server could not be started');
      console.watch(null);
      console.announce(refusal.message);
      if (isDiskRefusal(error)) stayDown('stopped', refusal.message);
      else status.update({ state: 'crashed', desired: 'stopped', reason: refusal.message });
      throw refusal;
    }
  }

  function stayDown(state: 'stopped' | 'crashed', reason: string) {
    status.update({ state, desired: 'stopped', intent: null, reason, isOverDiskLimit: true });
  }

  /** Its files are the servers' user's, and say what the template wants of them; the game must not be running. */
  async function prepareDirectory(signal: AbortSignal): Promise<string> {
    const directory = directories.prepare(uuid);
    await settleOwnership(status, directories);
    const { configFiles, diskMb } = status.record.launch;
    await options.diskUsage.hold(uuid, diskMb);
    const problems = await configurator.apply(directory, configFiles, AbortSignal.any([signal, closing]));
    for (const problem of problems) console.announce(problem);
    return directory;
  }

  /** Output goes to the console, and while the server starts, it is looked at for the sign that it has. */
  function watchOutput(): OutputFollower {
    const { state, launch, runFirstSeq } = status.record;
    if (state === 'starting' && launch.startupDetection !== null) {
      try {
        const expression = launch.startupDetection;
        const look = createStartupDetector({ expression, onStarted: becomeRunning, onGivenUp });
        console.watch(look);
        // An agent may have written the line down and have been killed before it could act on it.
        for (const line of console.heldLines(runFirstSeq)) look(Buffer.from(line));
      } catch (error) {
        log.error({ serverId, error }, 'the startup detection of a server is no regular expression');
        status.remember({ launch: { ...launch, startupDetection: null } });
      }
    }
    follower = followOutput(console);
    return follower;
  }

  function attach(server: RuntimeServer, output: OutputFollower) {
    output.attach(server);
    const ended = server.exited
      .then((exit) => finish(server, exit))
      .catch((error: unknown) =>
        log.error({ serverId, error }, 'the end of a server could not be dealt with'),
      );
    run = { server, ended };
    status.remember({ containerId: server.containerId, startedAt: server.startedAt.toISOString() });
    const { state, launch } = status.record;
    if (state === 'starting' && launch.startupDetection === null) becomeRunning();
    else if (state === 'running') watchHealth();
    else status.report();
  }

  function becomeRunning() {
    console.watch(null);
    if (status.record.state !== 'starting') return;
    status.update({ state: 'running', runningAt: new Date().toISOString() });
    watchHealth();
  }

  function onGivenUp() {
    log.warn({ serverId }, 'the startup detection of a server takes too long');
    console.announce(
      'The start-up expression of the template took too long and is given up: the server counts as running.',
    );
    status.remember({ launch: { ...status.record.launch, startupDetection: null } });
    becomeRunning();
  }

  function watchHealth() {
    const { crashCount, runningAt } = status.record;
    if (crashCount === 0 || runningAt === null) return;
    const healthyInMs = untilMs(Date.parse(runningAt) + timings.healthyAfterMs, timings.healthyAfterMs);
    healthyTimer = setTimeout(() => status.update({ crashCount: 0 }), healthyInMs);
  }

  async function finish(server: RuntimeServer | null, exit: ServerExit): Promise<void> {
    run = null;
    follower?.stop();
    if (healthyTimer !== null) clearTimeout(healthyTimer);
    console.watch(null);
    console.endRun();
    const { intent } = status.record;
    if (intent === null) {
      applyVerdict(judgeExit(exit, status.record, timings), exit);
    } else {
      const { exitCode, oomKilled } = exit;
      // What it was asked to stop for comes before how it did.
      const reason = status.record.reason ?? endReason;
      const ended = { exitCode, oomKilled, reason, startedAt: null, runningAt: null };
      // An intended restart is remembered until it has started again, in case the agent ends in between.
      status.update({ ...ended, state: 'stopped', intent: intent === 'restart' ? 'restart' : null });
    }
    released = release(server);
  }

  async function release(server: RuntimeServer | null): Promise<void> {
    try {
      await server?.release?.();
    } catch (error) {
      log.error({ serverId, error }, 'what is left of a run could not be removed');
    }
  }

  function applyVerdict(
    verdict: Verdict,
    { exitCode, oomKilled }: Pick<ServerExit, 'exitCode' | 'oomKilled'>,
  ) {
    const { reason } = verdict;
    const ended = { exitCode, oomKilled, reason, intent: null, startedAt: null, runningAt: null };
    if (verdict.kind === 'ended') {
      console.announce(`The server ${reason}.`);
      return status.update({ ...ended, state: 'stopped', desired: 'stopped' });
    }
    const { crashCount, restartInMs } = verdict;
    const next = restartInMs === null ? '' : ` Starting it again in ${restartInMs / 1000} s.`;
    console.announce(`The server ${reason}.${next}`);
    const nowMs = Date.now();
    status.update({
      ...ended,
      state: 'crashed',
      desired: restartInMs === null ? 'stopped' : 'running',
      crashCount,
      lastCrashAt: new Date(nowMs).toISOString(),
      restartAt: restartInMs === null ? null : new Date(nowMs + restartInMs).toISOString(),
    });
    restarts.schedule();
  }

  async function restartAfterCrash(signal: AbortSignal): Promise<void> {
    try {
      // Asked first, so that a server does not go through `starting` each time that there is nothing to start it.
      await runtime.list();
      if (signal.aborted) return;
      await start(signal);
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ serverId, error }, 'a crashed server could not be started again');
      console.watch(null);
      const { code, message } = toRefusal(error, 'start.failed');
      if (code === RUNTIME_UNAVAILABLE) return restarts.postpone(message);
      if (isDiskRefusal(error)) {
        console.announce(message);
        return stayDown('crashed', message);
      }
      const reason = `could not be started again: ${message}`;
      const exit = { exitCode: null, oomKilled: false };
      applyVerdict(judgeFailure(reason, new Date(), status.record, timings), exit);
    }
  }

  async function kill(): Promise<void> {
    if (run !== null) {
      endReason = 'killed';
      await killRun(run, closing);
    }
    await released;
  }

  return {
    get run() {
      return run;
    },
    launch,
    async adopt() {
      const output = watchOutput();
      const server = await runtime.adopt(uuid, console.cursor, output.listener);
      if (server !== null) attach(server, output);
      else await finish(null, { exitCode: null, oomKilled: false, finishedAt: new Date() });
    },
    async end(timeoutMs) {
      if (run === null) return;
      const current = run;
      if (await askToStop(current, status.record.launch, timeoutMs, closing)) return;
      if (closing.aborted) throw new Refusal('agent.stopping', 'The agent is shutting down.');
      endReason = `did not stop within ${timeoutMs / 1000} s and was killed`;
      console.announce(`The server ${endReason}.`);
      await killRun(current, closing);
    },
    kill,
    scheduleRestart: restarts.schedule,
    cancelRestart: restarts.cancel,
    detach() {
      restarts.stop();
      if (healthyTimer !== null) clearTimeout(healthyTimer);
      follower?.stop();
      run?.server.detach();
    },
  };
}
