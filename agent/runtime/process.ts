import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { isProcessAlive } from '../process-identity.js';
import { createCgroup, findCgroupParents, killCgroup, removeCgroup } from './cgroups.js';
import { noNewPrivilegesCommand } from './no-new-privileges.js';
import { createUsageMeters } from './process-usage.js';
import {
  InstallError,
  type OutputListener,
  type Runtime,
  type RuntimeServer,
  type ServerExit,
  type ServerPlan,
  UUID_PATTERN,
} from './runtime.js';
import { connectShim, type ShimClient } from './shim/client.js';
import { launchShim, readShimRecord } from './shim/launch.js';
import type { ShimRecord } from './shim/protocol.js';

export interface ProcessRuntimeOptions {
  dataDir: string;
  /** Who the servers run as; null: whoever the agent is. */
  uid: number | null;
  gid: number | null;
  /** The words that start a shim; its directory is added. */
  shimCommand: string[];
  log: Logger;
}

/** An installation needs room for its tools even where the server itself is small. */
const INSTALL_MEMORY_MIN_MB = 1024;
const INSTALL_SUFFIX = '.install';
const NO_NETWORKS_SENTENCE =
  'This node runs servers without Docker, so they cannot have addresses of their own: choose another node.';
const DEATH_POLL_MS = 25;
const DEATH_MAX_MS = 5000;

/**
 * Servers as plain processes of this machine, each held by a shim. They share the machine's file system,
 * network and users; only memory, CPU and the number of processes are limited, where control groups allow.
 */
export function createProcessRuntime(options: ProcessRuntimeOptions): Runtime {
  const { uid, gid, log } = options;
  const shimsDirectory = join(options.dataDir, 'shims');
  mkdirSync(shimsDirectory, { recursive: true, mode: 0o700 });
  const cgroupParents = findCgroupParents();
  const controllers = cgroupParents?.controllers ?? [];
  if (controllers.length > 0) log.info({ controllers }, 'servers are limited by control groups');
  else log.warn('no usable control groups: servers run without limits of memory, CPU and processes');
  // Held by the supervisor, it holds for the game, whose own command and failures stay what they are.
  const shimCommand = [...noNewPrivilegesCommand(), ...options.shimCommand];
  const meterOf = createUsageMeters();

  function directoryOf(uuid: string, suffix = ''): string {
    if (!UUID_PATTERN.test(uuid)) throw new Error('Not the UUID of a server.');
    return join(shimsDirectory, `${uuid}${suffix}`);
  }

  async function launch(plan: ServerPlan, suffix: string, command: string[], listener: OutputListener) {
    const directory = directoryOf(plan.uuid, suffix);
    await clear(directory);
    mkdirSync(directory, { mode: 0o700 });
    const isInstallation = suffix === INSTALL_SUFFIX;
    const cgroupDirectories = createCgroup(cgroupParents, `${plan.uuid}${suffix}`, {
      memoryMb: isInstallation ? Math.max(plan.memoryMb, INSTALL_MEMORY_MIN_MB) : plan.memoryMb,
      cpuCores: plan.cpuCores,
    });
    // What an agent started that was killed before it could be recorded.
    await killCgroup(cgroupDirectories);
    const record = await launchShim({
      shimCommand,
      directory,
      launch: {
        runId: randomUUID(),
        command,
        environment: gameEnvironment(plan),
        directory: plan.directory,
        uid,
        gid,
        cgroupDirectories,
        endsWithAgent: isInstallation,
      },
    });
    try {
      return await attach(directory, record, null, listener);
    } catch (error) {
      // It runs, but nobody would hear of it.
      await clear(directory);
      throw error;
    }
  }

  async function attach(
    directory: string,
    record: ShimRecord,
    cursor: string | null,
    listener: OutputListener,
  ) {
    const client = await connectShim({
      directory,
      fromOffset: offsetOf(cursor, record.runId),
      cursorOf: (offset) => `${record.runId}:${offset}`,
      listener,
    });
    return runtimeServer(directory, record, client);
  }

  function runtimeServer(directory: string, record: ShimRecord, client: ShimClient): RuntimeServer {
    const meter = meterOf(record);
    return {
      containerId: null,
      startedAt: new Date(record.startedAt),
      exited: client.exited.then(async (exit): Promise<ServerExit> => {
        if (exit !== null) return exit;
        log.error({ directory }, 'a shim ended before its server; the server is killed');
        await killGame(record);
        return { exitCode: null, oomKilled: false, finishedAt: new Date() };
      }),
      write: (data) => client.write(data),
      async signal(signal) {
        client.signal(signal);
      },
      usage: async () => meter.measure(),
      pauseOutput: () => client.pause(),
      resumeOutput: () => client.resume(),
      async release() {
        await client.release();
        await clear(directory);
      },
      detach: () => client.disconnect(),
    };
  }

  return {
    kind: 'process',
    async install(plan, listener, signal) {
      signal.throwIfAborted();
      if (plan.network !== null) throw new InstallError(NO_NETWORKS_SENTENCE);
      if (plan.installScript === null) return { containerId: null };
      listener.onProgress('installing', null);
      const command = [plan.installShell, '-c', plan.installScript];
      const run = await launch(plan, INSTALL_SUFFIX, command, listener).catch((error: unknown) => {
        const sentence = `The install script could not be started: is there a ${plan.installShell} on this node?`;
        throw new InstallError(sentence, null, { cause: error });
      });
      const abort = () => void run.signal('SIGKILL');
      signal.addEventListener('abort', abort);
      if (signal.aborted) abort();
      const exit = await run.exited;
      signal.removeEventListener('abort', abort);
      await run.release?.();
      signal.throwIfAborted();
      if (exit.oomKilled) throw new InstallError('The install script ran out of memory.', exit.exitCode);
      if (exit.exitCode !== 0) {
        const code = exit.exitCode === null ? 'ended unexpectedly' : `failed with code ${exit.exitCode}`;
        throw new InstallError(`The install script ${code}.`, exit.exitCode);
      }
      return { containerId: null };
    },
    async start(plan, listener) {
      if (plan.network !== null) throw new Error(NO_NETWORKS_SENTENCE);
      return launch(plan, '', plan.command, listener);
    },
    async adopt(uuid, cursor, listener) {
      const directory = directoryOf(uuid);
      const record = readShimRecord(directory);
      if (record !== null && isProcessAlive(record)) return attach(directory, record, cursor, listener);
      await clear(directory);
      return null;
    },
    async list() {
      return readdirSync(shimsDirectory).filter((name) => UUID_PATTERN.test(name));
    },
    async remove(uuid) {
      await clear(directoryOf(uuid));
      await clear(directoryOf(uuid, INSTALL_SUFFIX));
    },
  };
}

/** Kill what runs of it, the game before its shim, and remove the shim's directory. */
async function clear(directory: string): Promise<void> {
  const record = readShimRecord(directory);
  if (record !== null) {
    await killGame(record);
    if (isProcessAlive(record)) killQuietly(record.pid);
    await waitForDeath(record);
    await removeCgroup(record.cgroupDirectories);
  }
  await rm(directory, { recursive: true, force: true });
}

async function killGame({ gamePid, gameStartTime, cgroupDirectories }: ShimRecord): Promise<void> {
  // Its group is only surely still its own while the first process of it is there.
  if (isProcessAlive({ pid: gamePid, startTime: gameStartTime })) killQuietly(-gamePid);
  await killCgroup(cgroupDirectories);
}

function killQuietly(pid: number) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended between the look and the kill.
  }
}

async function waitForDeath(record: ShimRecord): Promise<void> {
  const deadlineMs = performance.now() + DEATH_MAX_MS;
  while (isProcessAlive(record) && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, DEATH_POLL_MS));
  }
}

/** A cursor of an earlier run says nothing about this one. */
function offsetOf(cursor: string | null, runId: string): number {
  const [cursorRunId, offset] = cursor?.split(':') ?? [];
  return cursorRunId === runId ? Number(offset) : 0;
}

/** A clean one: never the agent's own, which holds the node's token. */
function gameEnvironment(plan: ServerPlan): Record<string, string> {
  // The directory of our own Node comes last, so that templates which need Node find one.
  const nodeDirectory = join(process.execPath, '..');
  return {
    PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${nodeDirectory}`,
    HOME: plan.directory,
    USER: 'catalyst',
    LANG: 'C.UTF-8',
    TZ: process.env.TZ ?? 'UTC',
    TERM: 'xterm',
    ...plan.environment,
  };
}
