import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmdirSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { isErrorCode } from '../atomic-file.js';
import { claimTree } from '../files/ownership.js';
import { canWalkByDescriptor } from '../files/paths/descriptors.js';
import { UUID_PATTERN } from '../runtime/runtime.js';

/** Where the servers' own files lie. Their names are made of the UUID alone, never of what the wire says. */
export interface ServerDirectories {
  /** Holds them all; made with the first. */
  readonly root: string;
  pathOf(uuid: string): string;
  /** Make the directory if it is not there, and give it to the servers' user. */
  prepare(uuid: string): string;
  /** Whether `claim` can do what it is for: only root may. */
  readonly canClaim: boolean;
  /** Give everything in the directory to the servers' user again, after something ran in it as root. */
  claim(uuid: string): Promise<void>;
  /** Remove it and everything in it. Symbolic links are removed, never followed. */
  remove(uuid: string): Promise<void>;
}

export interface DirectoriesOptions {
  dataDir: string;
  /** Who the servers run as; null: whoever the agent is. */
  uid: number | null;
  gid: number | null;
  log: Logger;
  /** Where servers' files go when their user cannot reach `dataDir`. */
  unreachableRoot?: string;
}

const UNREACHABLE_ROOT = '/var/lib/catalyst-agent';

export function createServerDirectories(options: DirectoriesOptions): ServerDirectories {
  const { dataDir, uid, gid, log } = options;
  const root = chooseRoot(options);

  function makeRoot() {
    mkdirSync(root, { recursive: true });
    if (uid === null) return;
    // Servers reach their own directory by name and cannot list the others'.
    chmodSync(root, 0o711);
    const { unreachableRoot = UNREACHABLE_ROOT } = options;
    if (!root.startsWith(`${unreachableRoot}/`)) return;
    for (const path of [unreachableRoot, dirname(root)]) chmodSync(path, 0o711);
  }

  /** Nobody would think of looking there when the agent itself is removed. */
  function removeRootIfEmpty() {
    if (dirname(root) === dataDir) return;
    try {
      for (const path of [root, dirname(root)]) rmdirSync(path);
    } catch (error) {
      if (!isErrorCode(error, 'ENOTEMPTY') && !isErrorCode(error, 'ENOENT')) throw error;
    }
  }

  function pathOf(uuid: string): string {
    if (!UUID_PATTERN.test(uuid)) throw new Error('Not the UUID of a server.');
    return join(root, uuid);
  }

  return {
    root,
    pathOf,
    prepare(uuid) {
      const path = pathOf(uuid);
      makeRoot();
      try {
        mkdirSync(path, { mode: 0o750 });
      } catch (error) {
        if (!isErrorCode(error, 'EEXIST')) throw error;
      }
      const status = lstatSync(path);
      if (!status.isDirectory()) throw new Error(`${path} is not a directory.`);
      if (uid !== null) lchownSync(path, uid, gid ?? uid);
      // A game that shuts itself out could never be started again.
      if ((status.mode & 0o700) !== 0o700) chmodSync(path, (status.mode & 0o777) | 0o700);
      return path;
    },
    canClaim: uid !== null && canWalkByDescriptor,
    async claim(uuid) {
      if (uid !== null) await claimTree(pathOf(uuid), { uid, gid: gid ?? uid });
    },
    async remove(uuid) {
      const path = pathOf(uuid);
      // The system's own: it walks by descriptor, so a process that is still alive cannot lead it
      // elsewhere by putting a link in the place of a directory. Node's looks first and enters after.
      const child = spawn('rm', ['-rf', '--one-file-system', '--', path], { stdio: 'ignore' });
      const [code] = await once(child, 'exit');
      if (code === 0) return removeRootIfEmpty();
      log.error({ path, code }, 'a server directory could not be removed');
      throw new Error('The files of the server could not be removed completely.');
    },
  };
}

function chooseRoot({
  dataDir,
  uid,
  gid,
  log,
  unreachableRoot = UNREACHABLE_ROOT,
}: DirectoriesOptions): string {
  const root = join(dataDir, 'servers');
  if (uid === null) return root;
  // What else is in it is closed to them by itself; but who may write to it may put something in its place.
  chmodSync(dataDir, (statSync(dataDir).mode | 0o011) & ~0o022);
  const obstacle = findObstacle(realpathSync(dataDir), uid, gid ?? uid);
  const name = createHash('sha256').update(realpathSync(dataDir)).digest('hex').slice(0, 12);
  const reachable = join(unreachableRoot, name, 'servers');
  // Servers that were put elsewhere once stay there, also when the way has been cleared since.
  if (obstacle === null) return hasEntries(reachable) ? reachable : root;
  log.warn(
    { obstacle, uid, directory: reachable },
    'the user of the servers cannot enter the data directory; their files are kept elsewhere',
  );
  return reachable;
}

function hasEntries(path: string): boolean {
  try {
    return readdirSync(path).length > 0;
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** The first directory on the way to `path` that the user may not enter. */
function findObstacle(path: string, uid: number, gid: number): string | null {
  const parent = dirname(path);
  const above = parent === path ? null : findObstacle(parent, uid, gid);
  if (above !== null) return above;
  const status = statSync(path);
  const executeBit = status.uid === uid ? 0o100 : status.gid === gid ? 0o010 : 0o001;
  return (status.mode & executeBit) === 0 ? path : null;
}
