import path from 'node:path';
import { pino } from 'pino';
import { expect } from 'vitest';
import { createReleasers, type Releasers } from '../../src/lib/releasers.js';
import { createTestDatabase } from '../helpers/database.js';
import { freePort } from '../helpers/free-port.js';
import { type Api, api, createNode, nodeIsOnline, serverIs, signIn } from './api.js';
import { startAgentProcess, startPanelProcess, temporaryDirectory, until } from './processes.js';
import { type Watcher, watch } from './watcher.js';

/** A panel and an agent as real processes, a user with a server, and a watcher of its console. */
export interface Stage {
  admin: Api;
  user: Api;
  serverId: string;
  uuid: string;
  hostPort: number;
  /** The server's own, on its node. */
  directory: string;
  watcher: Watcher;
  /** `kill -9`. */
  killPanel(): Promise<void>;
  killAgent(): Promise<void>;
  /** Again, at the same address with the same data. */
  startPanel(): Promise<void>;
  startAgent(): void;
  close(): Promise<void>;
}

export interface Game {
  runtime: 'docker' | 'process';
  template: Record<string, unknown>;
}

export interface StageOptions {
  panelEnvironment?: Record<string, string>;
  /** Of the agent; without it, one is made. */
  agentDirectory?: string;
}

/** Register → node by deployment token with a real agent → template → server → subscribe. */
export async function setStage(game: Game, options: StageOptions = {}): Promise<Stage> {
  const releasers = createReleasers(pino({ level: 'warn' }));
  try {
    return await buildStage(game, options, releasers);
  } catch (error) {
    await releasers.releaseAll();
    throw error;
  }
}

async function buildStage(
  game: Game,
  { panelEnvironment, agentDirectory }: StageOptions,
  releasers: Releasers,
): Promise<Stage> {
  const database = await createTestDatabase();
  releasers.push('database', database.drop);
  const directory = temporaryDirectory();
  releasers.push('directory', directory.remove);
  const start = (port?: number) =>
    startPanelProcess({
      dataDir: `${directory.path}/panel`,
      databaseUrl: database.url,
      ...(panelEnvironment && { environment: panelEnvironment }),
      ...(port !== undefined && { port }),
    });
  let panel = await start();
  releasers.push('panel', async () => void (await panel.end('SIGTERM')));
  const admin = await signIn(panel.url);
  const registered = await api(panel.url).must('POST', '/api/auth/register', {
    email: 'player@example.com',
    username: 'player',
    password: 'a long enough password',
  });
  const user = api(panel.url, registered.body.data.token);

  const { nodeId, deploymentToken } = await createNode(admin, `node-${game.runtime}`);
  const agentOptions = {
    panelUrl: panel.url,
    nodeId,
    token: deploymentToken,
    dataDir: agentDirectory ?? `${directory.path}/agent`,
    runtime: game.runtime,
  };
  let agent = startAgentProcess(agentOptions);
  releasers.push('agent', async () => void (await agent.end('SIGTERM')));
  await nodeIsOnline(admin, nodeId);

  const template = await admin.must('POST', '/api/templates', game.template);
  const hostPort = await freePort();
  const server = await admin.must('POST', '/api/servers', {
    name: 'first',
    ownerId: registered.body.data.userId,
    templateId: template.body.data.id,
    nodeId,
    allocatedMemoryMb: 512,
    allocatedCpuCores: 1,
    allocatedDiskMb: 1024,
    primaryPort: 3979,
    portBindings: { 3979: hostPort },
    environment: {},
  });
  const serverId: string = server.body.data.id;
  releasers.push('server', async () => {
    await user.call('POST', `/api/servers/${serverId}/kill`);
    await until('the server is gone', async () => {
      const { status } = await admin.call('DELETE', `/api/servers/${serverId}`);
      return status === 200 || status === 404;
    });
  });
  const watcher = await watch(panel.url, user.token, serverId);
  releasers.push('watcher', watcher.close);

  return {
    admin,
    user,
    serverId,
    uuid: server.body.data.uuid,
    hostPort,
    directory: path.join(agentOptions.dataDir, 'servers', server.body.data.uuid),
    watcher,
    killPanel: async () => void (await panel.end('SIGKILL')),
    async startPanel() {
      panel = await start(panel.port);
    },
    killAgent: async () => void (await agent.end('SIGKILL')),
    startAgent() {
      agent = startAgentProcess(agentOptions);
    },
    close: releasers.releaseAll,
  };
}

export async function installAndStart({ user, serverId, watcher }: Stage): Promise<void> {
  const installed = await user.must('POST', `/api/servers/${serverId}/install`);
  expect(installed.body).toEqual({ success: true, message: 'Installation started', serverId });
  await watcher.until(
    'the installation ends',
    () => watcher.states().join().endsWith('installing,stopped'),
    120_000,
  );
  const { body } = await user.must('GET', `/api/servers/${serverId}`);
  expect(body.data).toMatchObject({ status: 'stopped', statusReason: null });
  const started = await user.must('POST', `/api/servers/${serverId}/start`);
  expect(started.body).toEqual({ success: true, message: 'Server start initiated' });
  await watcher.until('it runs', () => watcher.states().at(-1) === 'running');
  await serverIs(user, serverId, 'running');
}

/** After a panel or an agent was started again: until the two have found each other, a command is 503. */
export async function command({ user, serverId }: Stage, text: string): Promise<void> {
  await until('commands get through again', async () => {
    const { status, body } = await user.call('POST', `/api/servers/${serverId}/command`, { command: text });
    if (status !== 200) expect(body).toMatchObject({ statusCode: 503, code: 'node.offline' });
    return status === 200;
  });
}

export async function stop({ user, serverId, watcher }: Stage): Promise<void> {
  const stopped = await user.must('POST', `/api/servers/${serverId}/stop`, { timeout: 20 });
  expect(stopped.body).toEqual({ success: true, message: 'Server stop initiated' });
  await watcher.until('it has stopped', () => watcher.states().at(-1) === 'stopped');
  await serverIs(user, serverId, 'stopped');
}
