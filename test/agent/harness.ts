import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { type Agent, type AgentTimings, startAgent } from '../../agent/agent.js';
import type { AgentConfig } from '../../agent/config.js';
import { isProcessLiving } from '../../agent/process-identity.js';
import { createProcessRuntime } from '../../agent/runtime/process.js';
import type { PanelMessageOf } from '../../src/protocol/agent-messages.js';
import type { ServerSpecification } from '../../src/protocol/server-specification.js';
import { type FakePanel, type FakePanelSettings, startFakePanel } from './fake-panel.js';

const AGENT_BUNDLE = resolve('dist/catalyst-agent.mjs');
export const shimCommand = [process.execPath, AGENT_BUNDLE, 'shim'];
export const configureCommand = [process.execPath, AGENT_BUNDLE, 'configure'];
export const isRoot = process.getuid?.() === 0;
export const SERVER_UID = 28_000;
const log = pino({ level: process.env.TEST_LOG ?? 'silent' });

/** Waiting times that a test can wait for. */
const timings: Partial<AgentTimings> = {
  restartDelayMs: 50,
  crashBackoffMinMs: 50,
  redialMinMs: 20,
  redialMaxMs: 100,
  statsIntervalMs: 100,
  recoverRetryMs: 100,
};

/** @param earlier The panel whose address and stored lines it takes over. */
export async function makePanel(
  settings: Partial<FakePanelSettings> = {},
  earlier?: FakePanel,
): Promise<FakePanel> {
  const panel = await startFakePanel(settings, earlier);
  onTestFinished(() => panel.close());
  return panel;
}

/** A data directory that servers' users can reach; what runs in it is killed at the end of the test. */
export function makeDataDir(dataDir: string = mkdtempSync(join(tmpdir(), 'catalyst-agent-'))): string {
  onTestFinished(async () => {
    const [uid, gid] = isRoot ? [SERVER_UID, SERVER_UID] : [null, null];
    const runtime = createProcessRuntime({ dataDir, uid, gid, shimCommand, log });
    for (const uuid of await runtime.list()) await runtime.remove(uuid);
    rmSync(dataDir, { recursive: true, force: true });
  });
  return dataDir;
}

export function agentConfig(panel: Pick<FakePanel, 'url'>, dataDir: string): AgentConfig {
  return {
    panelUrl: panel.url,
    nodeId: 'node-1',
    nodeToken: 'token-1',
    dataDir,
    runtime: 'process',
    dockerSocket: '/nonexistent/docker.sock',
    serverUid: SERVER_UID,
    serverGid: SERVER_UID,
    installTimeoutMinutes: 5,
    pullAllowedNetworks: [],
    logLevel: 'silent',
  };
}

/** An agent in this process, connected. */
export async function connectAgent(
  panel: FakePanel,
  dataDir: string = makeDataDir(),
  changes: Partial<AgentTimings> = {},
  settings: Partial<AgentConfig> = {},
): Promise<Agent & { dataDir: string }> {
  const from = panel.messages.length;
  const config = { ...agentConfig(panel, dataDir), ...settings };
  const agent = await startAgent({
    config,
    shimCommand,
    configureCommand,
    log,
    timings: { ...timings, ...changes },
  });
  let isStopped = false;
  const stop = async () => {
    if (isStopped) return;
    isStopped = true;
    await agent.stop();
  };
  onTestFinished(stop);
  await panel.waitFor('health_report', undefined, { from });
  return { stop, dataDir };
}

/** The agent as a process of its own, from the bundle that nodes get. */
export function spawnAgent(
  panel: FakePanel,
  dataDir: string,
  {
    stdout = 'inherit',
    runtime = 'process',
  }: { stdout?: 'inherit' | 'closed'; runtime?: 'process' | 'docker' } = {},
): ChildProcess {
  const child = spawn(process.execPath, [AGENT_BUNDLE], {
    env: {
      PATH: process.env.PATH,
      PANEL_URL: panel.url,
      NODE_ID: 'node-1',
      NODE_TOKEN: 'token-1',
      AGENT_DATA_DIR: dataDir,
      RUNTIME: runtime,
      LOG_LEVEL: process.env.TEST_LOG ?? (stdout === 'closed' ? 'info' : 'silent'),
    },
    stdio: ['ignore', stdout === 'closed' ? 'pipe' : 'inherit', 'pipe'],
  });
  // Whoever read its log is gone.
  child.stdout?.destroy();
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
  return child;
}

export type Specification = Omit<ServerSpecification, 'commandId'>;

/** A server whose game is the shell script. */
export function specify(script: string, changes: SpecificationChanges = {}): Specification {
  const { template, ...rest } = changes;
  return {
    serverId: `server-${randomUUID()}`,
    serverUuid: randomUUID(),
    template: { dockerImage: 'unused', startupDetection: null, ...template },
    allocatedMemoryMb: 256,
    allocatedCpuCores: 2,
    allocatedDiskMb: 512,
    primaryPort: 25_565,
    networkMode: 'bridge',
    command: ['sh', '-c', script],
    restartPolicy: 'never',
    ...rest,
  };
}

type SpecificationChanges = Partial<Omit<ServerSpecification, 'template' | 'commandId'>> & {
  template?: Partial<ServerSpecification['template']>;
};

type CommandType =
  | 'install_server'
  | 'start_server'
  | 'stop_server'
  | 'restart_server'
  | 'kill_server'
  | 'crash_policy'
  | 'delete_server'
  | 'execute_command';

/** Give a command and wait for its result. */
export async function command<Type extends CommandType>(
  panel: FakePanel,
  type: Type,
  content: Omit<PanelMessageOf<Type>, 'type' | 'commandId'> & { commandId?: string },
) {
  const commandId = content.commandId ?? randomUUID();
  panel.send({ ...content, type, commandId } as PanelMessageOf<Type>);
  return panel.waitFor('command_result', (result) => result.commandId === commandId, { timeoutMs: 25_000 });
}

/** Install and start, and wait until it has been started. */
export async function run(panel: FakePanel, specification: Specification): Promise<void> {
  const installed = await command(panel, 'install_server', specification);
  if (!installed.ok) throw new Error(installed.message);
  const started = await command(panel, 'start_server', specification);
  if (!started.ok) throw new Error(started.message);
}

export function linesOf(panel: FakePanel, { serverId }: { serverId: string }): string[] {
  const stored = panel.lines.get(serverId) ?? new Map<number, string>();
  return [...stored].sort(([first], [second]) => first - second).map(([, text]) => text);
}

/** The server's own lines: ours are left out. */
export function outputOf(panel: FakePanel, server: { serverId: string }): string[] {
  return linesOf(panel, server).filter((line) => !line.startsWith('[Catalyst]'));
}

export async function waitForLine(
  panel: FakePanel,
  server: { serverId: string },
  line: string,
  timeoutMs?: number,
) {
  await panel.until(`there is the line "${line}"`, () => linesOf(panel, server).includes(line), timeoutMs);
}

export function statesOf(panel: FakePanel, { serverId }: { serverId: string }): string[] {
  const states = panel.messages.flatMap((message) =>
    message.type === 'server_state_update' && message.serverId === serverId ? [message.state] : [],
  );
  return states.filter((state, index) => state !== states[index - 1]);
}

export async function waitForState(
  panel: FakePanel,
  { serverId }: { serverId: string },
  state: string,
  from = 0,
) {
  return panel.waitFor(
    'server_state_update',
    (message) => message.serverId === serverId && message.state === state,
    { from },
  );
}

/** For what no message tells. */
export async function eventually(what: string, isTrue: () => boolean | Promise<boolean>, timeoutMs = 10_000) {
  const deadline = Date.now() + timeoutMs;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`Waited in vain until ${what}.`);
    await delay(20);
  }
}

export function isAlive(pid: number): boolean {
  return isProcessLiving(pid);
}
