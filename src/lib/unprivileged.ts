import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import type { Log } from './log.js';
import { readOrCreate } from './read-or-create.js';

/** A user that a program runs as when we are root and it must not be. */
export interface Identity {
  uid: number;
  gid: number;
}

/** What lies in directories that only root may enter is kept here for programs that are not root. */
export const SHARED_HOME = '/var/lib/catalyst';

/** Whether a process of that user could reach and enter the directory, or reach and run the file. */
export function canEnter(file: string, identity: Identity): boolean {
  return spawnSync('test', ['-x', file], { ...identity, cwd: '/', stdio: 'ignore' }).status === 0;
}

export interface ReachableDirectoryOptions {
  dataDir: string;
  /** Of the directory inside `dataDir`. */
  name: string;
  /** Who must reach it; null: a process like ours. */
  identity: Identity | null;
  log: Log;
}

/**
 * `<dataDir>/<name>`, or, where the way there is closed to that user (a project under /root, say), a
 * directory of our own in `SHARED_HOME`. That is decided once: `<dataDir>/<name>.location` remembers it.
 * The parent of what is returned exists; the directory itself may not yet.
 */
export function reachableDirectory({ dataDir, name, identity, log }: ReachableDirectoryOptions): string {
  mkdirSync(dataDir, { recursive: true });
  const home = realpathSync(dataDir);
  const here = path.join(home, name);
  const pointer = `${here}.location`;
  if (existsSync(pointer)) return rememberedDirectory(home, pointer);
  if (identity === null || canEnter(home, identity)) return here;
  if (canEnter(path.dirname(home), identity)) {
    // Only our own directory is in the way. Its secrets have mode 0600, so others may pass through it.
    chmodSync(home, statSync(home).mode | 0o011);
    log.info({ directory: home }, 'let other users pass through the data directory');
    return here;
  }
  if (existsSync(here)) {
    throw new Error(
      `${here} can no longer be reached by user ${identity.uid}, who works in it. ` +
        `Let others pass through the directories above it (chmod o+x), or set DATA_DIR to a copy elsewhere.`,
    );
  }
  const directory = readOrCreate(pointer, () => {
    const place = path.join(SHARED_HOME, randomBytes(8).toString('hex'));
    mkdirSync(place, { recursive: true, mode: 0o755 });
    writeFileSync(path.join(place, 'belongs-to'), home);
    return path.join(place, name);
  });
  log.info({ directory, user: identity.uid }, `only root may enter ${home}: ${name} lives elsewhere`);
  return directory;
}

function rememberedDirectory(home: string, pointer: string): string {
  const directory = readFileSync(pointer, 'utf8').trim();
  const mark = path.join(path.dirname(directory), 'belongs-to');
  if (!existsSync(mark)) {
    throw new Error(
      `${pointer} says that its content is in ${directory}, which is gone. ` +
        'Restore it from a backup, or delete the pointing file to begin with nothing.',
    );
  }
  const owner = readFileSync(mark, 'utf8').trim();
  if (owner === home) return directory;
  const ownersPointer = path.join(owner, path.basename(pointer));
  if (existsSync(ownersPointer) && readFileSync(ownersPointer, 'utf8').trim() === directory) {
    throw new Error(
      `${home} is a copy of ${owner}, which ${directory} belongs to. ` +
        `Delete ${pointer} to begin with nothing in the copy.`,
    );
  }
  // The data directory was moved.
  writeFileSync(mark, home);
  return directory;
}
