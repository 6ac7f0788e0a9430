import type { AgentMessage } from '../../src/protocol/agent-messages.js';
import { InstallError, type InstallListener, type Runtime, type ServerPlan } from '../runtime/runtime.js';
import type { Console } from './console.js';
import { Refusal, toRefusal } from './refusal.js';

export interface Installation {
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
const MESSAGE_MAX_LENGTH = 1500;

/** Install with output and progress on the console. Rejects with a `Refusal` that says why it failed. */
export async function runInstallation(installation: Installation): Promise<{ containerId: string | null }> {
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
