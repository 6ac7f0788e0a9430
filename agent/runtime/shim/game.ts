import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { isGroupLiving } from '../../process-identity.js';
import { enterCgroup, killCgroup, wasOomKilled } from '../cgroups.js';
import type { ShimExit, ShimLaunch } from './protocol.js';

/** The process that the shim holds, and everything that it started. */
export interface Game {
  readonly pid: number;
  /** Settles once everything is dead and the last output was handed over. */
  readonly ended: Promise<ShimExit>;
  write(data: string, onWritten: (error: string | null) => void): void;
  signal(signal: NodeJS.Signals): Promise<void>;
}

export interface GameOutputListener {
  onOutput(stream: 'stdout' | 'stderr', data: Buffer): void;
}

/** What the game has not yet read of its input; more is refused. */
const INPUT_BUFFER_MAX_BYTES = 64 * 1024;
/** What its main process leaves behind may go on so long to end by itself. */
const LEFTOVERS_GRACE_MS = 3000;
const GROUP_SIGNALS: NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGKILL'];
const LEFTOVERS_POLL_MS = 50;
/** A process that escaped and holds the pipes open does not keep the exit from being told. */
const OUTPUT_END_MAX_MS = 2000;

/** Start the game. Rejects when it cannot be started, with the system's reason. */
export async function startGame(launch: ShimLaunch, listener: GameOutputListener): Promise<Game> {
  const [file, ...words] = launch.command;
  if (file === undefined) throw new Error('The command is empty.');
  const leaveCgroup = enterCgroup(launch.cgroupDirectories);
  let child: ChildProcess;
  try {
    child = spawn(file, words, {
      cwd: launch.directory,
      env: launch.environment,
      // A session and process group of its own, so that all of it can be signalled at once.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(launch.uid !== null && { uid: launch.uid }),
      ...(launch.gid !== null && { gid: launch.gid }),
    });
  } finally {
    leaveCgroup();
  }
  const exited = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once('exit', (code, signal) => resolve([code, signal]));
  });
  child.stdout?.on('data', (data: Buffer) => listener.onOutput('stdout', data));
  child.stderr?.on('data', (data: Buffer) => listener.onOutput('stderr', data));
  // A game that closes its input makes writing fail; each write is told so by its own callback.
  child.stdin?.on('error', () => {});
  // Not by `once` from node:events, which rejects when the game cannot be started: that is told below.
  const outputEnded = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await once(child, 'spawn');
  const { pid } = child;
  if (pid === undefined) throw new Error('The process has no number.');
  return {
    pid,
    ended: watchEnd({ pid, exited, outputEnded, cgroupDirectories: launch.cgroupDirectories }),
    write: (data, onWritten) => writeInput(child, data, onWritten),
    async signal(signal) {
      // The polite ones go to all of it, as from a terminal; the others mean something only to the game itself.
      if (GROUP_SIGNALS.includes(signal)) signalQuietly(-pid, signal);
      else signalQuietly(pid, signal);
      if (signal === 'SIGKILL') await killCgroup(launch.cgroupDirectories);
    },
  };
}

interface EndSource {
  pid: number;
  exited: Promise<[number | null, NodeJS.Signals | null]>;
  outputEnded: Promise<void>;
  cgroupDirectories: string[];
}

async function watchEnd({ pid, exited, outputEnded, cgroupDirectories }: EndSource): Promise<ShimExit> {
  const [code, signal] = await exited;
  const finishedAt = new Date().toISOString();
  const graceEndsAtMs = performance.now() + LEFTOVERS_GRACE_MS;
  while (isGroupLiving(pid) && performance.now() < graceEndsAtMs) await sleep(LEFTOVERS_POLL_MS);
  signalQuietly(-pid, 'SIGKILL');
  await killCgroup(cgroupDirectories);
  await Promise.race([outputEnded, sleep(OUTPUT_END_MAX_MS)]);
  return { exitCode: exitCodeOf(code, signal), oomKilled: wasOomKilled(cgroupDirectories), finishedAt };
}

/** As shells count: 128 and the signal's number. */
function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

function signalQuietly(target: number, signal: NodeJS.Signals) {
  try {
    process.kill(target, signal);
  } catch {
    // Nothing of it is left.
  }
}

function writeInput(child: ChildProcess, data: string, onWritten: (error: string | null) => void) {
  const { stdin } = child;
  if (stdin === null || stdin.destroyed || !stdin.writable) return onWritten('it has closed its input');
  if (stdin.writableLength > INPUT_BUFFER_MAX_BYTES) return onWritten('it does not read its input');
  stdin.write(data, (error) => onWritten(error ? error.message : null));
}
