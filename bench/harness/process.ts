import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const STOP_TIMEOUT_MS = 20_000;
const OUTPUT_TAIL_CHARACTERS = 2000;
const POLL_MS = 20;

export interface StartedProcess {
  readonly pid: number;
  readonly hasEnded: () => boolean;
  /** The last of what it wrote, for error messages. */
  outputTail(): string;
  stop(): Promise<void>;
}

export interface ProcessOptions {
  words: [string, ...string[]];
  directory: string;
  environment: NodeJS.ProcessEnv;
  logFile: string;
}

/** A program of ours under test; what it writes goes to a file. */
export function startProcess({ words, directory, environment, logFile }: ProcessOptions): StartedProcess {
  const [command, ...parameters] = words;
  // The file itself, not a pipe through us: what a program says last, as it dies, is there too.
  const log = openSync(logFile, 'a');
  const child = spawn(command, parameters, {
    cwd: directory,
    env: { ...process.env, ...environment },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const exited = once(child, 'exit');
  return {
    pid: child.pid ?? 0,
    hasEnded: () => hasEnded(child),
    outputTail: () => readFileSync(logFile, 'utf8').slice(-OUTPUT_TAIL_CHARACTERS),
    async stop() {
      if (hasEnded(child)) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Asks again until the answer is true; throws `what` when it is not in time. */
export async function waitUntil(
  what: string,
  timeoutMs: number,
  isTrue: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`Waited ${timeoutMs} ms in vain: ${what}`);
    await delay(POLL_MS);
  }
}
