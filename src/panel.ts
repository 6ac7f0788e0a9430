import { createServer } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { buildApp } from './app.js';
import type { Config } from './config.js';
import { type Context, createContext } from './context.js';
import { createDatabase, type Database } from './database/client.js';
import { startEmbedded } from './database/embedded.js';
import { deleteExpiredRows } from './database/expired-rows.js';
import { migrate } from './database/migrate.js';
import { maintainPartitions } from './database/partitions.js';
import { type Seeded, seed } from './database/seed.js';
import { loadKeys } from './keys.js';
import { createPasswords } from './lib/passwords.js';
import type { Releasers } from './lib/releasers.js';
import { createSecrets } from './lib/secrets.js';
import { hasCode } from './lib/system-errors.js';
import { startLocalAgent } from './local-agent.js';
import { agentDirectory, describeLocalNode, urlOfPanel } from './local-node.js';
import { resourcePath } from './resources.js';
import { fingerprintsOf, isCryptographyNative, loadHostKeys } from './sftp/host-keys.js';
import { startSftp } from './sftp/server.js';
import { attachSockets, type Sockets } from './upgrade.js';

const MAINTENANCE_INTERVAL_MS = 60 * 60_000;
const PENDING_DATABASES_INTERVAL_MS = 30_000;
/** Running requests may take so long to finish; then their connections are closed. */
const REQUESTS_FINISH_TIMEOUT_MS = 10_000;

export interface PanelOptions {
  config: Config;
  log: Logger;
  /** Closes, in reverse order, what was opened so far, also when the start fails half-way. */
  releasers: Releasers;
  /** Aborts the start between two steps. */
  signal: AbortSignal;
}

export interface StartedPanel {
  url: string;
  newAdmin: Seeded['newAdmin'];
}

/** From nothing to a panel that answers. Throws an error whose message says what to do. */
export async function startPanel(options: PanelOptions): Promise<StartedPanel> {
  const { config, log, releasers, signal } = options;
  // Before anything is opened: another panel may run here, and its database is not ours to stop.
  await requireFreePort(config);
  const keys = loadKeys(config);
  const url = config.DATABASE_URL ?? (await openEmbedded(options));
  signal.throwIfAborted();
  await migrate({ url, directory: resourcePath('migrations'), log });
  const database = createDatabase({ url, poolSize: config.DATABASE_POOL_SIZE, log });
  releasers.push('connections to the database', database.close);
  await keepHistory(options, database);
  signal.throwIfAborted();

  const localNode = config.LOCAL_AGENT ? describeLocalNode(config) : null;
  const { newAdmin, localNodeSecret } = await seed({
    prisma: database.prisma,
    // Made only if there is an administrator to make: each begins with a hash of 19 MB.
    passwords: { hash: (password) => createPasswords().hash(password) },
    secrets: createSecrets(keys.secretsKey),
    admin: { email: config.ADMIN_EMAIL, password: config.ADMIN_PASSWORD },
    localNode,
    templatesDirectory: resourcePath('templates'),
    log,
  });

  const context = createContext({ config, keys, database, log });
  releasers.push('services', context.close);
  finishDatabases(options, context);
  let localAgent: { stop(): Promise<void> } | null = null;
  releasers.push('local agent', () => localAgent?.stop());
  const app = await buildApp(context);
  const sockets = attachSockets(app.server, context);
  releasers.push('HTTP server', () => closeDoors(app, sockets));
  signal.throwIfAborted();
  const panelUrl = await listen(app, config);
  await openSftp(options, context);
  if (localNode && localNodeSecret) {
    localAgent = startLocalAgent({
      program: resourcePath('catalyst-agent.mjs'),
      directory: agentDirectory(config, log),
      panelUrl,
      nodeId: localNode.id,
      nodeSecret: localNodeSecret,
      readNodeSecret: () => context.nodes.readSecret(localNode.id),
      isConnected: () => context.agents.isConnected(localNode.id),
      environment: process.env,
      log,
    });
  }
  return { url: config.PUBLIC_URL ?? panelUrl, newAdmin };
}

/** What a person who has just started the panel wants to know. */
export function greeting(config: Config, { url, newAdmin }: StartedPanel): string {
  const lines = [
    'Catalyst is ready.',
    '',
    `  Panel           ${url}`,
    `  Documentation   ${url}/docs`,
    `  Administrator   ${newAdmin?.email ?? config.ADMIN_EMAIL}`,
  ];
  if (newAdmin?.password) {
    lines.push(`  Password        ${newAdmin.password}   (made up just now, shown only this once)`);
  }
  lines.push('', 'Next, in another terminal: npm run demo');
  return `\n${lines.join('\n')}\n`;
}

async function openEmbedded({ config, log, releasers, signal }: PanelOptions): Promise<string> {
  const embedded = await startEmbedded({ dataDir: config.DATA_DIR, log });
  releasers.push('embedded database', embedded.stop);
  signal.throwIfAborted();
  return embedded.url;
}

/** Room for what comes, and an end for what is too old: now and every hour. */
async function keepHistory({ config, log, releasers }: PanelOptions, { pool }: Database): Promise<void> {
  const retentionDays = { logs: config.LOG_RETENTION_DAYS, metrics: config.METRICS_RETENTION_DAYS };
  const maintain = async () => {
    const now = new Date();
    await maintainPartitions({ pool, now, retentionDays, log });
    await deleteExpiredRows({ pool, now, auditRetentionDays: config.AUDIT_RETENTION_DAYS, log });
  };
  await maintain();
  const timer = setInterval(() => {
    maintain().catch((error: unknown) => log.error({ err: error }, 'the database could not be maintained'));
  }, MAINTENANCE_INTERVAL_MS);
  releasers.push('database maintenance', () => clearInterval(timer));
}

/** What was left half done on database hosts is done as soon as they answer. */
function finishDatabases({ log, releasers }: PanelOptions, { databases }: Context): void {
  const timer = setInterval(() => {
    databases.finishPending(new Date()).catch((error: unknown) => {
      log.error({ err: error }, 'databases of servers could not be cleared away');
    });
  }, PENDING_DATABASES_INTERVAL_MS);
  releasers.push('clean-up of databases', () => clearInterval(timer));
}

async function requireFreePort({ HOST: host, PORT: port }: Config): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, resolve);
    });
  } catch (error) {
    throw explainListenError(error, { host, port });
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

async function openSftp({ config, log, releasers }: PanelOptions, context: Context): Promise<void> {
  const { HOST: host, SFTP_PORT: port, DATA_DIR: dataDir } = config;
  if (port === 0) return;
  if (!isCryptographyNative()) {
    log.warn(
      'SFTP runs at half its speed: ssh2 was installed without its native part, see "npm rebuild ssh2"',
    );
  }
  try {
    const hostKeys = loadHostKeys(dataDir);
    const sftp = await startSftp({ context, hostKeys, host, port });
    log.info({ port: sftp.port, hostKeys: fingerprintsOf(hostKeys) }, 'SFTP listens');
    releasers.push('SFTP server', sftp.close);
  } catch (error) {
    throw explainListenError(error, { host, port, setting: 'SFTP_PORT' });
  }
}

/** Answers the URL by which a program on this machine reaches the panel. */
async function listen(app: FastifyInstance, { HOST: host, PORT: port }: Config): Promise<string> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw explainListenError(error, { host, port });
  }
  const address = app.server.address();
  return urlOfPanel(host, typeof address === 'object' && address !== null ? address.port : port);
}

function explainListenError(
  error: unknown,
  { host, port, setting = 'PORT' }: { host: string; port: number; setting?: string },
): unknown {
  if (hasCode(error, 'EADDRINUSE')) {
    return new Error(`Port ${port} on ${host} is in use: end the program that uses it, or set ${setting}.`, {
      cause: error,
    });
  }
  if (hasCode(error, 'EADDRNOTAVAIL') || hasCode(error, 'ENOTFOUND')) {
    return new Error(`This machine does not have the address ${host}: set HOST.`, { cause: error });
  }
  if (hasCode(error, 'EACCES')) {
    return new Error(`Port ${port} needs more rights than the panel has: set ${setting} to 1024 or more.`, {
      cause: error,
    });
  }
  return error;
}

/** New requests are refused, those under way finish, sockets are closed with 1001. */
async function closeDoors(app: FastifyInstance, sockets: Sockets): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), REQUESTS_FINISH_TIMEOUT_MS);
  await Promise.all([app.close(), sockets.close()]);
  clearTimeout(timer);
}
