import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Log } from '../lib/log.js';
import { isProcessAlive, signalProcess, waitForProcessEnd } from '../lib/process-identity.js';
import { readOrCreate } from '../lib/read-or-create.js';
import { reachableDirectory } from '../lib/unprivileged.js';
import {
  type EmbeddedFiles,
  embeddedFiles,
  findBinaries,
  prepareHome,
  serverIdentity,
} from './embedded-files.js';
import {
  DATABASE_NAME,
  databaseUrl,
  initialise,
  isReady,
  launch,
  type RunningServer,
  readPostmaster,
  type ServerOptions,
} from './embedded-server.js';

/** Long enough for the recovery after a crash. */
const START_TIMEOUT_MS = 120_000;
const RETRY_INTERVAL_MS = 100;
const WATCH_INTERVAL_MS = 500;
const RESTART_DELAY_MAX_MS = 30_000;
const FAST_SHUTDOWN_TIMEOUT_MS = 15_000;
const IMMEDIATE_SHUTDOWN_TIMEOUT_MS = 5000;

export interface EmbeddedDatabase {
  url: string;
  /** Of the server as it runs now. */
  pid(): number;
  how: 'started' | 'adopted';
  /** Shut the server down, also an adopted one. */
  stop(): Promise<void>;
}

interface Cluster extends ServerOptions {
  password: string;
  log: Log;
}

/**
 * A PostgreSQL server under `<dataDir>/postgres`: taken over if one still runs there, else started, and started
 * again on the same port should it die. Any number of panels may call this for one directory; they share the server.
 * Throws an error that says what to do.
 */
export async function startEmbedded({
  dataDir,
  log,
}: {
  dataDir: string;
  log: Log;
}): Promise<EmbeddedDatabase> {
  const cluster = openCluster(dataDir, log);
  const stopping = new AbortController();
  let { server, how } = await startOrAdopt(cluster, stopping.signal);
  const { port } = server;
  await ensureDatabase(cluster.password, port);
  log.info({ port, pid: server.identity.pid, directory: cluster.files.data }, `PostgreSQL ${how}`);

  async function watch(): Promise<void> {
    let failures = 0;
    while (!stopping.signal.aborted) {
      const waitMs = Math.min(WATCH_INTERVAL_MS * 2 ** failures, RESTART_DELAY_MAX_MS);
      await delay(waitMs, null, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted || isProcessAlive(server.identity)) continue;
      log.error({ pid: server.identity.pid }, 'PostgreSQL has ended unexpectedly, starting it again');
      try {
        ({ server } = await startOrAdopt(cluster, stopping.signal, port));
        failures = 0;
        log.info({ pid: server.identity.pid, port }, 'PostgreSQL is back');
      } catch (error) {
        failures += 1;
        if (!stopping.signal.aborted) log.error({ err: error }, 'PostgreSQL could not be started again');
      }
    }
  }
  const watching = watch();

  return {
    url: databaseUrl(cluster.password, port, DATABASE_NAME),
    pid: () => server.identity.pid,
    how,
    async stop() {
      stopping.abort(new Error('The embedded database is being stopped.'));
      await watching;
      await shutDown(server, log);
    },
  };
}

/** Everything that can be known and made without a running server. */
function openCluster(dataDir: string, log: Log): Cluster {
  const ourIdentity = serverIdentity();
  const home = reachableDirectory({ dataDir, name: 'postgres', identity: ourIdentity, log });
  const identity = prepareHome(home, ourIdentity);
  const files = embeddedFiles(home);
  const bin = findBinaries(identity, path.dirname(home));
  checkCluster(files, bin);
  const hadData = existsSync(files.data);
  if (hadData && !existsSync(files.password)) {
    throw new Error(
      `${files.password}, the password of the database beside it, is missing: restore it from a backup.`,
    );
  }
  const password = readOrCreate(files.password, () => randomBytes(24).toString('base64url')).trim();
  if (identity) chownSync(files.password, identity.uid, identity.gid);
  return { bin, files, identity, password, log };
}

function checkCluster(files: EmbeddedFiles, bin: string): void {
  if (!existsSync(files.data)) return;
  const versionFile = path.join(files.data, 'PG_VERSION');
  if (!existsSync(versionFile)) {
    if (readdirSync(files.data).length === 0) {
      rmdirSync(files.data);
      return;
    }
    throw new Error(`${files.data} is not a PostgreSQL data directory: move it away, or set DATA_DIR.`);
  }
  const dataVersion = readFileSync(versionFile, 'utf8').trim();
  const serverVersion =
    /\d+(\.\d+)*/.exec(execFileSync(path.join(bin, 'postgres'), ['--version'], { encoding: 'utf8' }))?.[0] ??
    '';
  if (serverVersion.split('.')[0] === dataVersion) return;
  throw new Error(
    `The database in ${files.data} was made by PostgreSQL ${dataVersion}, and this version of Catalyst comes with ` +
      `PostgreSQL ${serverVersion}, which cannot read it. Nothing was changed. Start the version of Catalyst that made it, ` +
      `save its content with pg_dump, move ${files.home} away, start this version, and load the dump; ` +
      `or run it with a PostgreSQL ${dataVersion} of your own and set DATABASE_URL.`,
  );
}

async function startOrAdopt(cluster: Cluster, signal: AbortSignal, port?: number) {
  const { files, password, log } = cluster;
  const timeout = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
  while (!timeout.aborted) {
    const running = readPostmaster(files);
    if (running && (await isReady(files, password, running.port)))
      return { server: running, how: 'adopted' as const };
    if (await initialise(cluster)) {
      const server = await launch({ ...cluster, signal: timeout, ...(port !== undefined && { port }) });
      if (server) return { server, how: 'started' as const };
    }
    log.debug({ lock: files.lock }, 'another process starts this database or runs it');
    await delay(RETRY_INTERVAL_MS);
  }
  if (signal.aborted) throw signal.reason;
  throw new Error(
    `Another process holds ${files.lock}, but its PostgreSQL does not answer here. ` +
      'Is another panel, perhaps in another container, using this data directory? Give each its own DATA_DIR.',
  );
}

async function ensureDatabase(password: string, port: number): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl(password, port, 'postgres') });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE_NAME]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE_NAME}`);
  } catch (error) {
    // 42P04, or 23505 when it happens at the very same time: another panel has made it.
    if (!(error instanceof pg.DatabaseError && ['42P04', '23505'].includes(error.code ?? ''))) throw error;
  } finally {
    await client.end();
  }
}

/** Fast (running transactions are rolled back), then immediate (recovery at the next start): neither loses a row. */
async function shutDown({ identity }: RunningServer, log: Log): Promise<void> {
  signalProcess(identity, 'SIGINT');
  if (await waitForProcessEnd(identity, FAST_SHUTDOWN_TIMEOUT_MS)) return;
  log.warn({ pid: identity.pid }, 'PostgreSQL does not shut down, stopping it at once');
  signalProcess(identity, 'SIGQUIT');
  if (await waitForProcessEnd(identity, IMMEDIATE_SHUTDOWN_TIMEOUT_MS)) return;
  signalProcess(identity, 'SIGKILL');
}
