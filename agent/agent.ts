import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { Capability } from '../src/protocol/agent-messages.js';
import { chooseRuntime } from './choose-runtime.js';
import type { AgentConfig } from './config.js';
import { createConfigurator } from './config-files/configurator.js';
import { openCredentials } from './credentials.js';
import { createDialler } from './data-plane/dialler.js';
import { createDataServer } from './data-plane/server.js';
import { loadBeneath } from './files/paths/openat2.js';
import { createFileService } from './files/service.js';
import { createOrderHandler } from './handlers.js';
import { createHealthMeter } from './health.js';
import { createLink, type Link, type LinkTimings, type Welcome } from './link.js';
import { lockDirectory } from './lock.js';
import { createProcessRuntime } from './runtime/process.js';
import type { Runtime } from './runtime/runtime.js';
import { createServerDirectories } from './servers/directories.js';
import { openDiskSpace } from './servers/disk-space.js';
import { startDiskWatch } from './servers/disk-watch.js';
import { createRegistry, type Registry } from './servers/registry.js';
import type { ServerTimings } from './servers/server.js';
import { startStats } from './servers/stats.js';

export interface AgentTimings extends ServerTimings, LinkTimings {
  statsIntervalMs: number;
  healthIntervalMs: number;
  /** How old the figure of what a running server takes on the disk gets. */
  diskIntervalMs: number;
}

export interface AgentOptions {
  config: AgentConfig;
  /** The words that start this program's `shim` sub-command. */
  shimCommand: string[];
  /** The words that start its `configure` sub-command. */
  configureCommand: string[];
  log: Logger;
  timings?: Partial<AgentTimings>;
}

export interface Agent {
  /** Let go of everything; game servers run on. */
  stop(): Promise<void>;
}

const MEGABYTE = 1024 * 1024;

const TIMINGS: Omit<AgentTimings, 'installTimeoutMs'> = {
  stopTimeoutMs: 30_000,
  restartDelayMs: 2000,
  recoverRetryMs: 5000,
  crashBackoffMinMs: 2000,
  crashBackoffMaxMs: 5 * 60_000,
  healthyAfterMs: 10 * 60_000,
  redialMinMs: 500,
  redialMaxMs: 10_000,
  replacedWaitMs: 60_000,
  unauthorizedWaitMs: 30_000,
  pingIntervalMs: 10_000,
  statsIntervalMs: 1000,
  healthIntervalMs: 30_000,
  diskIntervalMs: 60_000,
};

export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { config, log } = options;
  const dataDir = resolve(config.dataDir);
  // Servers' users pass through it to their own directories; everything else in it is closed to them.
  mkdirSync(dataDir, { recursive: true, mode: 0o711 });
  const unlock = lockDirectory(dataDir);
  try {
    return await buildAgent({ ...options, dataDir, unlock });
  } catch (error) {
    unlock();
    log.error({ error }, 'the agent could not start');
    throw error;
  }
}

async function buildAgent(options: AgentOptions & { dataDir: string; unlock(): void }): Promise<Agent> {
  const { config, log, dataDir, unlock } = options;
  const timings: AgentTimings = {
    ...TIMINGS,
    installTimeoutMs: config.installTimeoutMinutes * 60_000,
    ...options.timings,
  };
  const isRoot = process.getuid?.() === 0;
  const uid = isRoot ? config.serverUid : null;
  const gid = isRoot ? config.serverGid : null;
  const runtime = await createRuntime(options, uid, gid);
  const directories = createServerDirectories({ dataDir, uid, gid, log });
  const send: Link['send'] = (message) => link.send(message);
  const configurator = createConfigurator({ configureCommand: options.configureCommand, uid, gid, log });
  const diskSpace = await openDiskSpace({ dataDir, directories, log });
  const diskUsage = diskSpace.usage;
  const shared = { directories, configurator, diskUsage, timings, send, log };
  const registry = createRegistry({ ...shared, dataDir, runtime });
  const files = createFileService({
    find(uuid) {
      const server = registry.findByUuid(uuid);
      if (server === null) return null;
      const limitBytes = server.diskMb > 0 ? server.diskMb * MEGABYTE : null;
      return { directory: directories.pathOf(uuid), limitBytes };
    },
    serverUuids: () => registry.all().map(({ uuid }) => uuid),
    owner: uid === null ? null : { uid, gid: gid ?? uid },
    stateDirectory: join(dataDir, 'files'),
    announce: (uuid, text) => registry.findByUuid(uuid)?.console.announce(text),
    pull: { allowedNetworks: config.pullAllowedNetworks },
    beneath: await loadBeneath(log),
    quota: diskSpace.quota,
    log,
  });
  const countRunning = () => registry.all().filter(({ isRunning }) => isRunning).length;
  const measureHealth = createHealthMeter({ nodeId: config.nodeId, dataDir, countRunning });
  const reportHealth = () => {
    try {
      send(measureHealth());
    } catch (error) {
      log.error({ error, dataDir }, 'this machine could not be measured; is the data directory still there?');
    }
  };
  const credentials = openCredentials({ dataDir, nodeId: config.nodeId, token: config.nodeToken, log });
  const rotateSecret = (secret: string) => {
    try {
      credentials.keep(secret);
    } catch (error) {
      log.error({ error }, 'the new secret of this node could not be stored; it counts until the agent ends');
    }
    link.reconnect();
  };
  const closeFiles = async (uuid: string) => {
    await files.closeServer(uuid);
    diskSpace.forget(uuid);
  };
  const link: Link = createLink({
    panelUrl: config.panelUrl,
    nodeId: config.nodeId,
    runtime: runtime.kind,
    hasProjectQuotas: diskSpace.isHeldByKernel,
    credentials,
    timings,
    onWelcome(welcome) {
      reportEverything(welcome, registry, send);
      reportHealth();
      if (welcome.capabilities?.includes(Capability.dataPlane)) dialler.open();
    },
    onGone: () => dialler.close(),
    onOrder: createOrderHandler({ registry, rotateSecret, closeFiles, send, log }),
    onRoom() {
      for (const server of registry.all()) server.console.pump();
    },
    log,
  });

  const dataServer = createDataServer({
    files,
    hasServer: (uuid) => registry.findByUuid(uuid) !== null,
    log,
  });
  const dialler = createDialler({
    panelUrl: config.panelUrl,
    nodeId: config.nodeId,
    token: () => credentials.candidates()[0],
    timings,
    serve: dataServer.serve,
    log,
  });

  await registry.load();
  await files
    .cleanUp()
    .catch((error: unknown) => log.error({ error }, 'what is left of uploads could not be removed'));
  link.start();
  const stats = startStats({
    servers: registry.all,
    diskUsage,
    hasRoom: link.hasRoom,
    send,
    intervalMs: timings.statsIntervalMs,
    log,
  });
  const diskWatch = startDiskWatch({
    servers: registry.all,
    usage: diskUsage,
    intervalMs: timings.diskIntervalMs,
    log,
  });
  const healthTimer = setInterval(() => {
    if (link.hasRoom()) reportHealth();
  }, timings.healthIntervalMs);
  log.info({ runtime: runtime.kind, dataDir, servers: registry.all().length }, 'agent started');

  return {
    async stop() {
      clearInterval(healthTimer);
      stats.stop();
      diskWatch.stop();
      await registry.detach();
      dialler.close();
      await link.close();
      await files.close();
      unlock();
      log.info('agent stopped');
    },
  };
}

async function createRuntime(
  { config, shimCommand, log, dataDir }: AgentOptions & { dataDir: string },
  uid: number | null,
  gid: number | null,
): Promise<Runtime> {
  const { runtime: setting, dockerSocket } = config;
  const kind = await chooseRuntime({ setting, dataDir, dockerSocket, log });
  if (kind === 'process') return createProcessRuntime({ dataDir, uid, gid, shimCommand, log });
  // Loaded only where it is used: it is most of the program.
  const { createDockerRuntime } = await import('./runtime/docker.js');
  return createDockerRuntime({
    socketPath: dockerSocket,
    nodeId: config.nodeId,
    uid: uid ?? process.getuid?.() ?? config.serverUid,
    gid: gid ?? process.getgid?.() ?? config.serverGid,
    log,
  });
}

/** After each handshake: how every server is, then what its console has that the panel has not. */
function reportEverything(welcome: Welcome, registry: Registry, send: Link['send']) {
  const capabilities = welcome.capabilities ?? [];
  if (capabilities.includes(Capability.inventory)) {
    send({ type: 'inventory', servers: registry.inventory() });
  } else {
    for (const { serverUuid, ...observation } of registry.inventory()) {
      send({ type: 'server_state_update', ...observation, message: observation.reason ?? null });
    }
  }
  registry.connectConsoles({
    storedSeqs: new Map(welcome.console?.map(({ serverId, seq }) => [serverId, seq])),
    acknowledges: capabilities.includes(Capability.consoleSequence),
  });
}
