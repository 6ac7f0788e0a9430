import { accessSync, constants, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isProcessLiving } from '../process-identity.js';

/**
 * Control groups for plain processes: v2 where its controllers are there, else v1, else none. Every
 * function takes the group's directories (one with v2, one for each controller with v1), so that the agent
 * and the shim can share a group by naming it.
 */

const MOUNT = '/sys/fs/cgroup';
const PARENT_NAME = 'catalyst';
const CPU_PERIOD_US = 100_000;
const PROCESSES_MAX = 1024;
const KILL_ROUNDS_MAX = 20;
const REMOVE_ROUNDS_MAX = 20;
const ROUND_MS = 25;

export interface CgroupLimits {
  memoryMb: number;
  cpuCores: number;
}

export interface CgroupParents {
  version: 1 | 2;
  directories: string[];
  /** Which limits hold: some of `memory`, `pids`, `cpu`. */
  controllers: string[];
}

/** Where this process may make groups; null where it may not. */
export function findCgroupParents(): CgroupParents | null {
  return findVersion2() ?? findVersion1();
}

function findVersion2(): CgroupParents | null {
  const available = read(`${MOUNT}/cgroup.controllers`)?.trim().split(' ') ?? [];
  const wanted = ['memory', 'pids', 'cpu'].filter((name) => available.includes(name));
  if (!wanted.includes('memory') && !wanted.includes('pids')) return null;
  const directory = `${MOUNT}/${PARENT_NAME}`;
  if (!makeDirectory(directory)) return null;
  const controllers = wanted.filter((name) => {
    write(`${MOUNT}/cgroup.subtree_control`, `+${name}`);
    return write(`${directory}/cgroup.subtree_control`, `+${name}`);
  });
  return { version: 2, directories: [directory], controllers };
}

function findVersion1(): CgroupParents | null {
  const controllers = ['memory', 'pids', 'cpu'].filter(
    (name) => exists(`${MOUNT}/${name}/cgroup.procs`) && makeDirectory(`${MOUNT}/${name}/${PARENT_NAME}`),
  );
  if (controllers.length === 0) return null;
  return {
    version: 1,
    directories: controllers.map((name) => `${MOUNT}/${name}/${PARENT_NAME}`),
    controllers,
  };
}

/** Make the group, or change its limits. Empty when there are no groups here. */
export function createCgroup(parents: CgroupParents | null, name: string, limits: CgroupLimits): string[] {
  if (parents === null) return [];
  const directories = parents.directories.map((parent) => `${parent}/${name}`).filter(makeDirectory);
  const memoryBytes = String(limits.memoryMb * 1024 * 1024);
  const quotaUs = Math.max(1000, Math.round(limits.cpuCores * CPU_PERIOD_US));
  for (const directory of directories) {
    // A file of a controller that is not in this directory cannot be written, and that is all.
    write(`${directory}/pids.max`, String(PROCESSES_MAX));
    if (parents.version === 2) {
      write(`${directory}/memory.max`, memoryBytes);
      write(`${directory}/memory.swap.max`, '0');
      write(`${directory}/cpu.max`, `${quotaUs} ${CPU_PERIOD_US}`);
    } else {
      write(`${directory}/memory.limit_in_bytes`, memoryBytes);
      write(`${directory}/memory.memsw.limit_in_bytes`, memoryBytes);
      write(`${directory}/cpu.cfs_quota_us`, String(quotaUs));
    }
  }
  return directories;
}

/**
 * Move this process into the group, so that what it starts next is born there; gives back how to leave.
 * The order matters: a game that is moved after its start could have started others before.
 */
export function enterCgroup(directories: string[]): () => void {
  const own = read('/proc/self/cgroup') ?? '';
  const entered = directories.filter((directory) => write(`${directory}/cgroup.procs`, String(process.pid)));
  return () => {
    for (const directory of entered)
      write(`${ownDirectory(directory, own)}/cgroup.procs`, String(process.pid));
  };
}

/** Where this process was before, in the hierarchy of `directory`. */
function ownDirectory(directory: string, own: string): string {
  const controller = directory.slice(MOUNT.length + 1).split('/')[0] ?? '';
  for (const line of own.split('\n')) {
    const [, names = '', path = ''] = line.split(':');
    if (controller !== PARENT_NAME && names.split(',').includes(controller))
      return `${MOUNT}/${controller}${path}`;
    if (controller === PARENT_NAME && names === '' && line.startsWith('0:')) return `${MOUNT}${path}`;
  }
  return controller === PARENT_NAME ? MOUNT : `${MOUNT}/${controller}`;
}

export function listCgroupProcesses(directories: string[]): number[] {
  const pids = new Set<number>();
  for (const directory of directories) {
    for (const line of (read(`${directory}/cgroup.procs`) ?? '').split('\n'))
      if (line !== '') pids.add(Number(line));
  }
  return [...pids];
}

/** Kill everything in the group, including what is started meanwhile. */
export async function killCgroup(directories: string[]): Promise<void> {
  for (let round = 0; round < KILL_ROUNDS_MAX; round++) {
    const pids = listCgroupProcesses(directories).filter(
      (pid) => pid !== process.pid && isProcessLiving(pid),
    );
    if (pids.length === 0) return;
    for (const directory of directories) write(`${directory}/cgroup.kill`, '1');
    for (const pid of pids) kill(pid);
    await sleep(ROUND_MS);
  }
}

/** Whether the kernel killed something in the group for want of memory. */
export function wasOomKilled(directories: string[]): boolean {
  return directories.some((directory) => {
    const events = read(`${directory}/memory.events`) ?? read(`${directory}/memory.oom_control`) ?? '';
    return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0) > 0;
  });
}

export async function removeCgroup(directories: string[]): Promise<void> {
  for (const directory of directories) {
    // The kernel lets go of dead members a moment later.
    for (let round = 0; round < REMOVE_ROUNDS_MAX && exists(directory); round++) {
      try {
        rmdirSync(directory);
      } catch {
        await sleep(ROUND_MS);
      }
    }
  }
}

function kill(pid: number) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function write(path: string, value: string): boolean {
  try {
    // Never created: writing to a missing control file must fail, not leave a file on some other disk.
    writeFileSync(path, value, { flag: 'r+' });
    return true;
  } catch {
    return false;
  }
}

function exists(path: string): boolean {
  try {
    accessSync(path, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}

function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, { recursive: false });
    return true;
  } catch {
    return exists(path) && exists(`${path}/cgroup.procs`);
  }
}
