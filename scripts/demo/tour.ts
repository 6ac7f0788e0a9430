import { setTimeout as delay } from 'node:timers/promises';
import { type Api, ApiFailure } from './api.js';
import { DemoFailure } from './failure.js';
import type { Game, Node } from './games.js';
import { asStats, type Live } from './live.js';
import { type Output, plain } from './output.js';

const NODE_TIMEOUT_MS = 30_000;
const NODE_POLL_MS = 500;
const INSTALL_TIMEOUT_MS = 15 * 60_000;
const START_TIMEOUT_MS = 5 * 60_000;
const ANSWER_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 90_000;
const STATS_TIMEOUT_MS = 20_000;
const STATS_SAMPLES = 5;
/** Somebody may have a server on the game's usual port: then the next ones are tried. */
const PORT_ATTEMPTS = 20;

export interface DemoServer {
  id: string;
  name: string;
}

interface ServerDetails {
  status: string;
  statusReason: string | null;
  installedAt: string | null;
  exitCode: number | null;
}

export async function signIn(api: Api, credentials: { email: string; password: string }): Promise<void> {
  try {
    await api.login(credentials);
  } catch (error) {
    if (!(error instanceof ApiFailure) || error.code !== 'auth.invalid_credentials') throw error;
    throw new DemoFailure(
      `The panel does not accept this password for ${credentials.email}. ` +
        'ADMIN_EMAIL and ADMIN_PASSWORD must be those of its administrator.',
    );
  }
}

/** The first node that is online; a local agent may need a moment after the panel's start. */
export async function findNode(api: Api): Promise<Node> {
  const deadline = Date.now() + NODE_TIMEOUT_MS;
  for (;;) {
    const nodes = await api.get<Node[]>('/api/nodes?limit=100');
    const online = nodes.find(({ isOnline }) => isOnline);
    if (online) return online;
    if (Date.now() > deadline) {
      throw new DemoFailure(
        `None of the panel's ${nodes.length} nodes is online. Is its agent running? "npm start" brings one unless LOCAL_AGENT=false.`,
      );
    }
    await delay(NODE_POLL_MS);
  }
}

export async function createServer(api: Api, node: Node, game: Game): Promise<DemoServer & { port: number }> {
  for (let attempt = 0; ; attempt += 1) {
    const port = game.port + attempt;
    try {
      const server = await api.post<DemoServer>('/api/servers', {
        name: `demo-${new Date().toISOString().slice(11, 19).replaceAll(':', '')}`,
        templateId: game.templateId,
        nodeId: node.id,
        allocatedMemoryMb: game.memoryMb,
        allocatedCpuCores: 1,
        allocatedDiskMb: game.diskMb,
        primaryPort: game.port,
        portBindings: { [game.port]: port },
      });
      return { ...server, port };
    } catch (error) {
      const isTaken = error instanceof ApiFailure && error.code === 'allocation.port_taken';
      if (!isTaken || attempt >= PORT_ATTEMPTS) throw error;
    }
  }
}

export async function install(api: Api, server: DemoServer, live: Live): Promise<void> {
  const ended = live.next('the end of the installation', INSTALL_TIMEOUT_MS, (message) =>
    message.type === 'server_state_update' && ['stopped', 'crashed'].includes(message.state)
      ? true
      : undefined,
  );
  await Promise.all([ended, api.post(`/api/servers/${server.id}/install`)]);
  const { installedAt, statusReason } = await details(api, server);
  if (installedAt === null) {
    throw new DemoFailure(`The installation failed: ${statusReason ?? 'the panel does not say why'}`);
  }
}

export async function start(api: Api, server: DemoServer, live: Live): Promise<void> {
  const running = live.next('the server to run', START_TIMEOUT_MS, (message) => {
    if (message.type !== 'server_state_update') return undefined;
    if (message.state === 'running') return 'running';
    return message.state === 'crashed' || message.state === 'stopped'
      ? (message.reason ?? 'it ended')
      : undefined;
  });
  const [outcome] = await Promise.all([running, api.post(`/api/servers/${server.id}/start`)]);
  if (outcome !== 'running') throw new DemoFailure(`The server did not start: ${outcome}`);
}

/** @returns the line that answered. */
export async function command(api: Api, server: DemoServer, game: Game, live: Live): Promise<string> {
  const answered = live.next(`an answer to "${game.command}"`, ANSWER_TIMEOUT_MS, (message) =>
    message.type === 'server_log'
      ? message.data.split('\n').find((line) => game.answer.test(plain(line)))
      : undefined,
  );
  await Promise.all([answered, api.post(`/api/servers/${server.id}/command`, { command: game.command })]);
  return plain(await answered).trim();
}

export async function watch(live: Live, output: Output): Promise<void> {
  for (let sample = 0; sample < STATS_SAMPLES; sample += 1) {
    const { cpu, memoryMb } = await live.next('live statistics', STATS_TIMEOUT_MS, asStats);
    output.say(`CPU ${cpu.toFixed(1).padStart(5)} %   memory ${memoryMb.toFixed(0).padStart(5)} MB`);
  }
}

export async function stop(api: Api, server: DemoServer, live: Live, output: Output): Promise<void> {
  const ended = live.next('the server to stop', STOP_TIMEOUT_MS, (message) =>
    message.type === 'server_state_update' && ['stopped', 'crashed'].includes(message.state)
      ? message.state
      : undefined,
  );
  const [state] = await Promise.all([ended, api.post(`/api/servers/${server.id}/stop`)]);
  const { exitCode } = await details(api, server);
  if (state !== 'stopped') throw new DemoFailure(`The server did not stop cleanly: it is ${state}.`);
  output.say(`It ended with exit code ${exitCode}.`);
}

/** Whatever state it is in. */
export async function remove(api: Api, server: DemoServer): Promise<void> {
  const { status } = await details(api, server);
  if (status !== 'stopped' && status !== 'crashed') {
    await api.post(`/api/servers/${server.id}/kill`);
    const deadline = Date.now() + STOP_TIMEOUT_MS;
    while (!['stopped', 'crashed'].includes((await details(api, server)).status) && Date.now() < deadline) {
      await delay(NODE_POLL_MS);
    }
  }
  await api.delete(`/api/servers/${server.id}`);
}

function details(api: Api, server: DemoServer): Promise<ServerDetails> {
  return api.get<ServerDetails>(`/api/servers/${server.id}`);
}
