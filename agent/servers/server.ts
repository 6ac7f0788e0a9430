import type { Logger } from 'pino';
import type { AgentMessage, InventoryEntry } from '../../src/protocol/agent-messages.js';
import type { Configurator } from '../config-files/configurator.js';
import type { Runtime, ServerUsage } from '../runtime/runtime.js';
import { createActions } from './actions.js';
import type { Console } from './console.js';
import type { CrashPolicy, CrashTimings } from './crash-policy.js';
import type { ServerDirectories } from './directories.js';
import { type DiskUsage, describeOverrun } from './disk-limit.js';
import { installServer } from './install.js';
import { createLifecycle } from './lifecycle.js';
import { settleOwnership } from './ownership.js';
import type { Launch, ServerRecord } from './record.js';
import { Refusal, toRefusal } from './refusal.js';
import { createStatus } from './status.js';
import { pause, settlesWithin } from './wait.js';

export interface ServerTimings extends CrashTimings {
  stopTimeoutMs: number;
  restartDelayMs: number;
  installTimeoutMs: number;
  recoverRetryMs: number;
}

export interface ServerOptions {
  record: ServerRecord;
  runtime: Runtime;
  directories: ServerDirectories;
  configurator: Configurator;
  diskUsage: DiskUsage;
  console: Console;
  timings: ServerTimings;
  save(record: ServerRecord): void;
  publish(message: AgentMessage): void;
  log: Logger;
}

/** One game server: what it is, what it shall be, and the one action that may be under way. */
export interface GameServer {
  readonly serverId: string;
  readonly uuid: string;
  readonly console: Console;
  readonly isRunning: boolean;
  /** What its files may take. */
  readonly diskMb: number;
  observe(): InventoryEntry;
  /** Take up what an earlier agent process left. Settles when that worked or has failed for the first time. */
  recover(): Promise<void>;
  install(launch: Launch): Promise<void>;
  start(launch: Launch): Promise<void>;
  stop(timeoutMs?: number): Promise<void>;
  /** Its files take more than they may. */
  stopOverLimit(usedBytes: number): Promise<void>;
  restart(launch: Launch | null): Promise<void>;
  /** Holds from the next crash on; one that was to be followed by a start that is no longer wanted is not. */
  setCrashPolicy(policy: CrashPolicy, resetCount: boolean): void;
  /** Holds at once for what is written on behalf of its users. */
  setDiskLimit(diskMb: number): void;
  /** Always goes through, whatever else is under way. */
  kill(): Promise<void>;
  /** Write to the console; the line end is added if it is not there. */
  input(data: string): Promise<void>;
  /** Kill it and remove everything there is of it but its record. */
  destroy(): Promise<void>;
  usage(): Promise<ServerUsage | null>;
  /** The agent ends: the server runs on. */
  detach(): Promise<void>;
}

const DETACH_TIMEOUT_MS = 3000;
const INTERRUPTED_REASON =
  'The installation was interrupted by the end of the agent: install the server again.';

export function createServer(options: ServerOptions): GameServer {
  const { runtime, directories, console, timings, log } = options;
  const { serverId, uuid } = options.record;
  const closing = new AbortController();
  const actions = createActions();
  const publish: ServerOptions['publish'] = (message) => {
    // What the server wrote before a change of its state is seen before it.
    console.flush();
    options.publish(message);
  };
  const status = createStatus({ ...options, publish });
  const lifecycle = createLifecycle({ ...options, status, actions, closing: closing.signal });
  /** What was changed while a restart was under way, whose launch was described before. */
  let changedPolicy: CrashPolicy | null = null;
  const withChangedPolicy = (launch: Launch): Launch => ({ ...launch, ...changedPolicy });

  function requireInstalled() {
    if (status.record.isInstalled) return;
    throw new Refusal('server.not_installed', 'Install the server before starting it.');
  }

  /** Nothing runs: say so, whatever it was before. */
  function settleStopped() {
    const isStopped = status.record.state === 'stopped';
    status.remember({ desired: 'stopped', intent: null });
    if (isStopped) status.report();
    else status.update({ state: 'stopped', reason: null, startedAt: null, runningAt: null });
  }

  async function install(launch: Launch, signal: AbortSignal): Promise<void> {
    if (lifecycle.run !== null)
      throw new Refusal('server.not_stopped', 'Stop the server before installing it.');
    lifecycle.cancelRestart();
    await installServer({ ...options, status, publish, launch, signal });
  }

  async function start(launch: Launch, signal: AbortSignal): Promise<void> {
    if (lifecycle.run !== null) {
      // Whoever asked did not know; now the panel does.
      status.report();
      throw new Refusal('server.already_running', 'The server is already running.');
    }
    requireInstalled();
    status.remember({ launch, crashCount: 0, lastCrashAt: null });
    await lifecycle.launch(signal);
  }

  async function stop(timeoutMs = timings.stopTimeoutMs): Promise<void> {
    // A launch cannot be asked to stop; it takes a moment and is then a run that can.
    await actions.settled('start');
    await actions.perform('stop', async () => {
      lifecycle.cancelRestart();
      if (lifecycle.run === null) return settleStopped();
      status.update({ state: 'stopping', desired: 'stopped', intent: 'stop' });
      await lifecycle.end(timeoutMs);
    });
  }

  async function stopOverLimit(usedBytes: number): Promise<void> {
    await actions.settled('start');
    await actions.perform('stop', async () => {
      if (lifecycle.run === null) return;
      const reason = describeOverrun('The server was stopped', usedBytes, status.record.launch.diskMb);
      console.announce(reason);
      const stopping = { state: 'stopping', desired: 'stopped', intent: 'stop' } as const;
      status.update({ ...stopping, reason, isOverDiskLimit: true });
      await lifecycle.end(timings.stopTimeoutMs);
    });
  }

  async function restart(launch: Launch | null): Promise<void> {
    await actions.settled('start');
    await actions.perform('restart', async (signal) => {
      requireInstalled();
      lifecycle.cancelRestart();
      changedPolicy = null;
      status.remember({ desired: 'running', intent: 'restart', crashCount: 0, lastCrashAt: null });
      if (lifecycle.run !== null) {
        status.update({ state: 'stopping' });
        await lifecycle.end(timings.stopTimeoutMs);
      }
      if (launch !== null) status.remember({ launch: withChangedPolicy(launch) });
      await pause(timings.restartDelayMs, AbortSignal.any([signal, closing.signal]));
      if (signal.aborted) throw new Refusal('command.cancelled', 'The server was killed during its restart.');
      if (closing.signal.aborted) throw new Refusal('agent.stopping', 'The agent is shutting down.');
      await lifecycle.launch(signal);
    });
  }

  function setCrashPolicy(policy: CrashPolicy, resetCount: boolean) {
    changedPolicy = policy;
    status.remember({ launch: { ...status.record.launch, ...policy } });
    if (status.record.restartAt !== null && policy.restartPolicy === 'never') {
      lifecycle.cancelRestart();
      status.remember({ desired: 'stopped' });
    }
    if (resetCount) status.remember({ crashCount: 0, lastCrashAt: null });
    status.report();
  }

  async function kill(): Promise<void> {
    lifecycle.cancelRestart();
    actions.abort();
    status.remember({ desired: 'stopped', intent: 'stop' });
    if (lifecycle.run !== null && status.record.state !== 'stopping') status.update({ state: 'stopping' });
    await lifecycle.kill();
    await actions.settled();
    // It may have been taken up meanwhile, or there was no way to: then it is known to no one but the runtime.
    await lifecycle.kill();
    if (['starting', 'running', 'stopping'].includes(status.record.state)) await removeUnreached();
    settleStopped();
  }

  async function removeUnreached(): Promise<void> {
    try {
      await runtime.remove(uuid);
    } catch (error) {
      await recover();
      throw toRefusal(error, 'server.kill_failed');
    }
  }

  async function takeUp(): Promise<void> {
    const { state } = status.record;
    if (state === 'installing') {
      await runtime.remove(uuid);
      await settleOwnership(status, directories);
      console.announce(INTERRUPTED_REASON);
      status.update({ state: 'stopped', isInstalled: false, intent: null, reason: INTERRUPTED_REASON });
    } else if (state === 'starting' || state === 'running' || state === 'stopping') {
      await lifecycle.adopt();
    } else {
      lifecycle.scheduleRestart();
    }
  }

  /** What was asked for before the agent ended is still wanted. */
  async function resumeIntent(): Promise<void> {
    if (status.record.intent === 'stop') await stop();
    else if (status.record.intent === 'restart') await restart(null);
  }

  async function recover(): Promise<void> {
    let tried = () => {};
    const firstTry = new Promise<void>((resolve) => {
      tried = resolve;
    });
    actions
      .perform('recovery', async (signal) => {
        const ended = AbortSignal.any([signal, closing.signal]);
        while (!ended.aborted) {
          try {
            return await takeUp();
          } catch (error) {
            log.error({ serverId, error }, 'a server could not be taken up; trying again');
          }
          tried();
          await pause(timings.recoverRetryMs, ended);
        }
      })
      .finally(tried)
      .then(resumeIntent)
      .catch((error: unknown) =>
        log.warn({ serverId, error }, 'an interrupted action could not be finished'),
      );
    await firstTry;
  }

  return {
    serverId,
    uuid,
    console,
    get isRunning() {
      return lifecycle.run !== null;
    },
    get diskMb() {
      return status.record.launch.diskMb;
    },
    observe: () => ({ serverId, serverUuid: uuid, ...status.observe() }),
    recover,
    install: (launch) => actions.perform('install', (signal) => install(launch, signal)),
    start: (launch) => actions.perform('start', (signal) => start(launch, signal)),
    stop,
    stopOverLimit,
    restart,
    setCrashPolicy,
    setDiskLimit: (diskMb) => status.remember({ launch: { ...status.record.launch, diskMb } }),
    kill,
    async input(data) {
      if (lifecycle.run === null) throw new Refusal('server.not_running', 'The server is not running.');
      await lifecycle.run.server.write(data.endsWith('\n') ? data : `${data}\n`).catch((error: unknown) => {
        throw toRefusal(error, 'server.input_refused');
      });
    },
    async destroy() {
      actions.setClosed(true);
      try {
        await kill();
        await runtime.remove(uuid);
        await directories.remove(uuid);
      } catch (error) {
        actions.setClosed(false);
        throw error;
      }
      closing.abort();
      console.destroy();
    },
    usage: async () => (await lifecycle.run?.server.usage()) ?? null,
    async detach() {
      closing.abort();
      if (actions.current === 'install') actions.abort();
      await settlesWithin(actions.settled(), DETACH_TIMEOUT_MS);
      lifecycle.detach();
      console.close();
    },
  };
}
