import type { Logger } from 'pino';
import type { AgentMessage } from '../../src/protocol/agent-messages.js';
import { InstallError, type InstallListener, type Runtime, type ServerPlan } from '../runtime/runtime.js';
import type { Console } from './console.js';
import type { ServerDirectories } from './directories.js';
import type { DiskUsage } from './disk-limit.js';
import { settleOwnership } from './ownership.js';
import type { Launch } from './record.js';
import { Refusal, toRefusal } from './refusal.js';
import { toPlan } from './specification.js';
import type { Status } from './status.js';

export interface ServerInstallation {
  status: Status;
  runtime: Runtime;
  directories: ServerDirectories;
  diskUsage: DiskUsage;
  console: Console;
  timings: { installTimeoutMs: number };
  launch: Launch;
  publish(message: AgentMessage): void;
  signal: AbortSignal;
  log: Logger;
}

interface Installation {
  runtime: Runtime;
  plan: ServerPlan;
  console: Console;
  publish(message: AgentMessage): void;
  signal: AbortSignal;
  timeoutMs: number;
}

/** Progress of the same phase is told at most so often. */
const PROGRESS_INTERVAL_MS = 500;
const PULL_LINE_STEP_PERCENT = 20;
const NO_ROOT_SENTENCE =
  'The install script is meant for root of a container, which this node does not have: it runs as an ordinary user.';
const MESSAGE_MAX_LENGTH = 1500;

/** Leaves the server stopped and installed, or not installed with the reason, and then rejects with it. */
export async function installServer(installation: ServerInstallation): Promise<void> {
  const { status, console, launch, log } = installation;
  status.remember({ launch, isInstalled: false, desired: 'stopped', intent: null });
  const fresh = { reason: null, exitCode: null, oomKilled: false, containerId: null };
  status.update({ ...fresh, state: 'installing', crashCount: 0, lastCrashAt: null });
  try {
    const { containerId } = await prepareAndRun(installation);
    console.announce('The server is installed');
    status.update({ state: 'stopped', isInstalled: true, containerId });
  } catch (error) {
    const refusal = toRefusal(error, 'install.error');
    log.warn({ serverId: status.record.serverId, error }, 'an installation failed');
    console.announce(refusal.message);
    status.update({ state: 'stopped', reason: refusal.message });
    throw refusal;
  }
}

async function prepareAndRun(installation: ServerInstallation): Promise<{ containerId: string | null }> {
  const { status, runtime, directories, diskUsage, console, timings, launch } = installation;
  const directory = directories.prepare(status.record.uuid);
  await settleOwnership(status, directories);
  await diskUsage.hold(status.record.uuid, launch.diskMb);
  const wantsRoot = launch.installAsRoot && launch.installScript !== null;
  const installAsRoot = wantsRoot && runtime.kind === 'docker' && directories.canClaim;
  if (wantsRoot && !installAsRoot) console.announce(NO_ROOT_SENTENCE);
  if (installAsRoot) status.remember({ isOwnershipUnsettled: true });
  const plan = { ...toPlan(status.record, directory), installAsRoot };
  try {
    return await runInstallation({ ...installation, plan, timeoutMs: timings.installTimeoutMs });
  } finally {
    await settleOwnership(status, directories);
  }
}

/** Install with output and progress on the console. Rejects with a `Refusal` that says why it failed. */
async function runInstallation(installation: Installation): Promise<{ containerId: string | null }> {
  const { runtime, plan, console, signal, timeoutMs } = installation;
  const timeout = AbortSignal.timeout(timeoutMs);
  console.announce('Installing the server');
  try {
    const listener = reportProgress(installation);
    const result = await runtime.install(plan, listener, AbortSignal.any([signal, timeout]));
    listener.onProgress('done', 100);
    return result;
  } catch (error) {
    if (signal.aborted) throw new Refusal('command.cancelled', 'The installation was cancelled.');
    if (timeout.aborted) {
      const minutes = Math.round(timeoutMs / 6000) / 10;
      throw new Refusal(
        'install.timeout',
        `The installation took longer than ${minutes} minutes and was ended.`,
      );
    }
    throw toRefusal(error, error instanceof InstallError ? 'install.failed' : 'install.error');
  } finally {
    console.endRun();
  }
}

type Phase = Parameters<InstallListener['onProgress']>[0] | 'done';

function reportProgress({ plan, console, publish }: Installation) {
  let reported: { phase: Phase; atMs: number } | null = null;
  let linePercent = 0;

  function announcePull(percent: number | null) {
    if (reported?.phase !== 'pulling') {
      console.announce(`Pulling image ${plan.image}…`);
      linePercent = 0;
    }
    if (percent === null || percent < linePercent + PULL_LINE_STEP_PERCENT) return;
    linePercent = percent - (percent % PULL_LINE_STEP_PERCENT);
    console.announce(`Pulling image… ${linePercent}%`);
  }

  return {
    onOutput: (chunk: Parameters<InstallListener['onOutput']>[0]) => console.write(chunk),
    onOutputLost: (lostBytes: number | null) => console.lose(lostBytes),
    onProgress(phase: Phase, percent: number | null, message?: string) {
      const nowMs = performance.now();
      const isSamePhase = reported?.phase === phase;
      if (phase === 'pulling') announcePull(percent);
      if (isSamePhase && reported !== null && nowMs - reported.atMs < PROGRESS_INTERVAL_MS) return;
      reported = { phase, atMs: nowMs };
      publish({
        type: 'install_progress',
        serverId: plan.serverId,
        phase,
        percent,
        ...(message !== undefined && { message: message.slice(0, MESSAGE_MAX_LENGTH) }),
      });
    },
  };
}
