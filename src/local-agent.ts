import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from './lib/log.js';
import {
  identifyProcess,
  isProcessAlive,
  type ProcessIdentity,
  signalProcess,
  waitForProcessEnd,
} from './lib/process-identity.js';

const WATCH_INTERVAL_MS = 1000;
const RESTART_DELAY_MS = 1000;
const RESTART_DELAY_MAX_MS = 60_000;
/** An agent that ran so long was well: the next restart is quick again. */
const HEALTHY_MS = 60_000;
/** Longer than an agent needs to connect with a secret that it was just given. */
const CUT_OFF_AFTER_MS = 10_000;
const STOP_TIMEOUT_MS = 10_000;
/** Higher than any process number. */
const NO_PID = 2 ** 31 - 1;
const LOG_MAX_BYTES = 5 * 1024 * 1024;

/** Settings of the agent that may stand in the panel's environment, and what a process needs to find its way. */
const PASSED_ON = [
  'RUNTIME',
  'DOCKER_SOCKET',
  'SERVER_UID',
  'SERVER_GID',
  'INSTALL_TIMEOUT_MINUTES',
  'PULL_ALLOWED_NETWORKS',
  'LOG_LEVEL',
  'NODE_EXTRA_CA_CERTS',
  'PATH',
  'HOME',
  'LANG',
  'TZ',
] as const;

export interface LocalAgentOptions {
  /** The agent's program, one file. */
  program: string;
  /** Where it keeps what it knows; made if need be. */
  directory: string;
  panelUrl: string;
  nodeId: string;
  nodeSecret: string;
  /** What it is now, because it can be replaced at any time; null when it cannot be read. */
  readNodeSecret(): Promise<string | null>;
  /** Whether the node's agent is connected. */
  isConnected(): boolean;
  environment: NodeJS.ProcessEnv;
  log: Log;
}

export interface LocalAgent {
  /** Ends the agent; the game servers run on. */
  stop(): Promise<void>;
}

/**
 * Keeps one agent running for the node of this machine. It is a process of its own that outlives a killed panel:
 * one that still runs is taken over, unless it was started with other settings or another version, and then replaced.
 */
export function startLocalAgent(startOptions: LocalAgentOptions): LocalAgent {
  const { directory, log } = startOptions;
  let options = startOptions;
  const stopping = new AbortController();
  mkdirSync(directory, { recursive: true });
  let agent = readLock(directory);

  async function refreshSecret(): Promise<{ isNew: boolean }> {
    const known = options.nodeSecret;
    const nodeSecret = (await options.readNodeSecret().catch(() => null)) ?? known;
    options = { ...options, nodeSecret };
    return { isNew: nodeSecret !== known };
  }

  /** An agent that was away when the secret was replaced never got the new one: it ends, and the next is given it. */
  async function endIfCutOff(running: ProcessIdentity): Promise<void> {
    if (!(await refreshSecret()).isNew) return;
    log.info({ pid: running.pid }, 'replacing the local agent: it does not have the new secret of its node');
    await end(running, log);
  }

  async function untilEnded(running: ProcessIdentity): Promise<void> {
    let lastConnectedAt = Date.now();
    while (isProcessAlive(running) && !stopping.signal.aborted) {
      await delay(WATCH_INTERVAL_MS, null, { signal: stopping.signal }).catch(() => {});
      if (options.isConnected()) lastConnectedAt = Date.now();
      if (Date.now() - lastConnectedAt > CUT_OFF_AFTER_MS) await endIfCutOff(running);
    }
  }

  async function watch(): Promise<void> {
    if (agent && isOutdated(options)) {
      log.info({ pid: agent.pid }, 'replacing the local agent: its settings or its version have changed');
      await end(agent, log);
      agent = null;
    } else if (agent) log.info({ pid: agent.pid }, 'local agent adopted');
    let restartDelayMs = RESTART_DELAY_MS;
    while (!stopping.signal.aborted) {
      const startedAt = Date.now();
      agent ??= readLock(directory) ?? launch(options);
      await untilEnded(agent);
      if (stopping.signal.aborted) return;
      if (Date.now() - startedAt > HEALTHY_MS) restartDelayMs = RESTART_DELAY_MS;
      log.warn(
        { pid: agent.pid, restartDelayMs, logFile: logFile(directory) },
        'the local agent has ended, starting it again',
      );
      agent = null;
      await delay(restartDelayMs, null, { signal: stopping.signal }).catch(() => {});
      restartDelayMs = Math.min(restartDelayMs * 2, RESTART_DELAY_MAX_MS);
      await refreshSecret();
    }
  }
  const watching = watch().catch((error: unknown) => {
    log.error({ err: error }, 'the local agent could not be started');
  });

  return {
    async stop() {
      stopping.abort();
      await watching;
      if (agent) await end(agent, log);
    },
  };
}

function launch(options: LocalAgentOptions): ProcessIdentity {
  const { program, directory, log } = options;
  const output = openLog(directory);
  const child = spawn(process.execPath, [program], {
    cwd: directory,
    env: agentEnvironment(options),
    stdio: ['ignore', output, output],
    // A session of its own: Ctrl-C in the panel's terminal is not for it.
    detached: true,
  });
  closeSync(output);
  // Without a pid there will be an error; the watch finds no process and tries again.
  child.once('error', (error) => log.error({ err: error }, 'the local agent could not be started'));
  child.unref();
  const agent = identifyProcess(child.pid ?? NO_PID);
  writeFileSync(settingsFile(directory), settingsHash(options), { mode: 0o600 });
  log.info({ pid: agent.pid, logFile: logFile(directory) }, 'local agent started');
  return agent;
}

function agentEnvironment({ environment, panelUrl, nodeId, nodeSecret, directory }: LocalAgentOptions) {
  const passedOn = PASSED_ON.flatMap((name) => (environment[name] ? [[name, environment[name]]] : []));
  return {
    ...Object.fromEntries(passedOn),
    PANEL_URL: panelUrl,
    NODE_ID: nodeId,
    NODE_TOKEN: nodeSecret,
    AGENT_DATA_DIR: directory,
  } as NodeJS.ProcessEnv;
}

/** What an agent was started with, its program included. */
function settingsHash(options: LocalAgentOptions): string {
  const hash = createHash('sha256').update(readFileSync(options.program));
  return hash.update(JSON.stringify(agentEnvironment(options))).digest('hex');
}

function isOutdated(options: LocalAgentOptions): boolean {
  const file = settingsFile(options.directory);
  return !existsSync(file) || readFileSync(file, 'utf8') !== settingsHash(options);
}

/** The agent that holds the lock of the directory and lives. */
function readLock(directory: string): ProcessIdentity | null {
  try {
    const holder = JSON.parse(readFileSync(path.join(directory, 'agent.lock'), 'utf8')) as ProcessIdentity;
    return Number.isInteger(holder.pid) && holder.pid > 0 && isProcessAlive(holder) ? holder : null;
  } catch {
    return null;
  }
}

async function end(agent: ProcessIdentity, log: Log): Promise<void> {
  signalProcess(agent, 'SIGTERM');
  if (await waitForProcessEnd(agent, STOP_TIMEOUT_MS)) return;
  log.warn({ pid: agent.pid }, 'the local agent does not end, killing it');
  signalProcess(agent, 'SIGKILL');
}

function openLog(directory: string): number {
  const file = logFile(directory);
  if (existsSync(file) && statSync(file).size > LOG_MAX_BYTES) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o600);
}

function logFile(directory: string): string {
  return path.join(directory, 'agent.log');
}

function settingsFile(directory: string): string {
  return path.join(directory, 'launched-with');
}
