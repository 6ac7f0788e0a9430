import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { identifyProcess, type ProcessIdentity } from '../lib/process-identity.js';
import type { Identity } from '../lib/unprivileged.js';
import type { EmbeddedFiles } from './embedded-files.js';

/** Name of the database and of the role that owns it. */
export const DATABASE_NAME = 'catalyst';

/** What `flock` answers when another process holds the lock. */
const LOCKED_EXIT_CODE = 75;
const LOG_MAX_BYTES = 5 * 1024 * 1024;
const LOG_TAIL_BYTES = 2000;
const PROBE_TIMEOUT_MS = 2000;
const POLL_INTERVAL_MS = 50;

/** Crash recovery replays at most about this much of a log; without a checkpoint a start would take longer. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '128MB',
  max_wal_size: '512MB',
  // An acknowledged row is on the disk.
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Statements that fail are the panel's to log; the server's own life is still written.
  log_min_messages: 'log',
  log_checkpoints: 'off',
};

/**
 * File descriptor 3 is the lock file. The lock belongs to the open file, which every process of the server
 * inherits: it is held until the last of them has gone, whoever started them, in whichever container.
 * So under the lock a postmaster.pid is stale, and PostgreSQL must not mistake its number for a living process.
 * Where there is no flock (macOS), PostgreSQL's own check has to do.
 */
const LOCK = `if command -v flock >/dev/null 2>&1; then flock -n 3 || exit ${LOCKED_EXIT_CODE}; locked=1; fi`;
const START = `${LOCK}; [ -z "$locked" ] || rm -f "$2/postmaster.pid"; bin="$1"; shift 2; exec "$bin/postgres" "$@"`;
/** A new cluster appears under its name only when it is whole. */
const INITIALISE = `${LOCK}; [ ! -e "$2" ] || exit 0; rm -rf "$2.new"; bin="$1"; data="$2"; shift 2
"$bin/initdb" -D "$data.new" "$@" && mv "$data.new" "$data"`;

export interface ServerOptions {
  bin: string;
  files: EmbeddedFiles;
  identity: Identity | null;
}

export interface RunningServer {
  identity: ProcessIdentity;
  port: number;
}

/** Make the cluster unless there is one. False when another process is at it: ask again. */
export async function initialise(options: ServerOptions): Promise<boolean> {
  const { files, bin } = options;
  if (existsSync(files.data)) return true;
  const settings = ['-U', DATABASE_NAME, '--pwfile', files.password, '-A', 'scram-sha-256', '-E', 'UTF8'];
  const locale = ['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C'];
  const child = run(options, INITIALISE, [bin, files.data, ...settings, ...locale]);
  const exitCode = await child.exited;
  if (exitCode === LOCKED_EXIT_CODE) return false;
  if (exitCode !== 0) throw new Error(`initdb failed with code ${exitCode}:\n${child.output()}`);
  syncDirectory(files.home);
  return true;
}

/** Start the server and wait until it answers. Null when that is to be tried again: another process holds the lock. */
export async function launch(
  options: ServerOptions & { port?: number; password: string; signal: AbortSignal },
): Promise<RunningServer | null> {
  const { bin, files, password, signal } = options;
  const port = options.port ?? (await freePort());
  const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = run(options, START, [bin, files.data, '-D', files.data, '-p', String(port), ...settings]);
  let exitCode: number | null | undefined;
  void child.exited.then((code) => {
    exitCode = code;
  });
  while (!signal.aborted) {
    if (exitCode === LOCKED_EXIT_CODE) return null;
    if (exitCode !== undefined) {
      // Another program was quicker to take the free port: try the next one.
      if (options.port === undefined && child.output().includes('Address already in use')) return null;
      throw new Error(`PostgreSQL stopped while it started (code ${exitCode}):\n${child.output()}`);
    }
    if (await isReady(files, password, port)) {
      child.unref();
      return { identity: identifyProcess(child.pid), port };
    }
    await delay(POLL_INTERVAL_MS);
  }
  if (exitCode === undefined) process.kill(child.pid, 'SIGINT');
  throw signal.reason;
}

/** The server that postmaster.pid speaks of; it may be long gone. */
export function readPostmaster(files: EmbeddedFiles): RunningServer | null {
  try {
    const lines = readFileSync(`${files.data}/postmaster.pid`, 'utf8').split('\n');
    const [pid, port] = [Number(lines[0]), Number(lines[3])];
    return pid > 0 && port > 0 ? { identity: identifyProcess(pid), port } : null;
  } catch {
    return null;
  }
}

/** Whether the server of this very data directory answers there. */
export async function isReady(files: EmbeddedFiles, password: string, port: number): Promise<boolean> {
  const client = new pg.Client({
    connectionString: databaseUrl(password, port, 'postgres'),
    connectionTimeoutMillis: PROBE_TIMEOUT_MS,
    query_timeout: PROBE_TIMEOUT_MS,
  });
  // Without a listener the end of the connection would be an uncaught exception.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
    return rows[0]?.data_directory === files.data;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

export function databaseUrl(password: string, port: number, database: string): string {
  return `postgresql://${DATABASE_NAME}:${password}@127.0.0.1:${port}/${database}`;
}

/** A shell script as the server's user, detached from us, with the lock on descriptor 3 and its output in the log. */
function run({ files, identity }: ServerOptions, script: string, words: string[]) {
  const log = openLog(files);
  const lock = openSync(files.lock, 'a', 0o600);
  try {
    const logStart = fstatSync(log).size;
    const child = spawn('sh', ['-c', script, 'sh', ...words], {
      ...identity,
      cwd: files.home,
      env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', log, log, lock],
      detached: true,
    });
    const exited = new Promise<number | null>((resolve, reject) => {
      child.once('exit', resolve);
      child.once('error', reject);
    });
    if (child.pid === undefined) throw new Error('There is no "sh" to start PostgreSQL with.');
    return { pid: child.pid, exited, unref: () => child.unref(), output: () => logTail(files, logStart) };
  } finally {
    closeSync(log);
    closeSync(lock);
  }
}

function openLog(files: EmbeddedFiles): number {
  if (existsSync(files.log) && statSync(files.log).size > LOG_MAX_BYTES) {
    renameSync(files.log, `${files.log}.1`);
  }
  return openSync(files.log, 'a', 0o600);
}

function logTail(files: EmbeddedFiles, start: number): string {
  return readFileSync(files.log).subarray(start).subarray(-LOG_TAIL_BYTES).toString().trim();
}

/** A new name in a directory survives a power cut only when the directory itself was synced. */
function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
