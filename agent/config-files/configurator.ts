import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { ConfigFile } from '../../src/protocol/server-specification.js';
import type { ConfigJob } from './apply.js';

export interface ConfiguratorOptions {
  /** The words that start this program's `configure` sub-command. */
  configureCommand: string[];
  /** Who the servers run as; null: whoever the agent is. */
  uid: number | null;
  gid: number | null;
  log: Logger;
}

/** Sets values in the configuration files of servers. It never rejects: a server starts without them, too. */
export interface Configurator {
  /** @returns Sentences for the server's console about what was not done. */
  apply(directory: string, files: ConfigFile[], signal: AbortSignal): Promise<string[]>;
}

/** Long enough for many files; some expressions and some files never come to an end. */
const JOB_MAX_MS = 10_000;
/** After a reboot all servers of a node start at once, and each process needs its 60 MB. */
const JOBS_AT_ONCE_MAX = 2;
const Problems = z.array(z.string().max(2000)).max(100);

export function createConfigurator(options: ConfiguratorOptions): Configurator {
  const { uid, gid, log } = options;
  const owner = uid === null ? null : { uid, gid: gid ?? uid };
  const waiting: (() => void)[] = [];
  let activeCount = 0;

  async function takeTurn(): Promise<void> {
    if (activeCount === JOBS_AT_ONCE_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
    else activeCount += 1;
  }

  function passTurnOn() {
    const next = waiting.shift();
    if (next === undefined) activeCount -= 1;
    else next();
  }

  return {
    async apply(directory, files, signal) {
      if (files.length === 0) return [];
      await takeTurn();
      try {
        if (signal.aborted) return [];
        return await runJob({ directory, files, owner }, options.configureCommand, signal);
      } catch (error) {
        if (signal.aborted) return [];
        log.error({ error, directory }, 'configuration files could not be applied');
        return ['The configuration files could not be changed: the server starts with them as they are.'];
      } finally {
        passTurnOn();
      }
    },
  };
}

async function runJob(job: ConfigJob, command: string[], signal: AbortSignal): Promise<string[]> {
  const [file = process.execPath, ...words] = command;
  const child = spawn(file, words, {
    // Not the agent's own environment, which holds the node's token.
    env: {},
    cwd: '/',
    stdio: ['pipe', 'pipe', 'ignore'],
    timeout: JOB_MAX_MS,
    killSignal: 'SIGKILL',
    signal,
  });
  // It may end before it has read everything; what counts is how it ends.
  child.stdin.on('error', () => undefined);
  child.stdin.end(JSON.stringify(job));
  const [output, [code, endedBy]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (code !== 0) throw new Error(`the process ended with ${code ?? endedBy}`);
  return Problems.parse(JSON.parse(output));
}
