import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import type { AgentMessage } from '../../src/protocol/agent-messages.js';
import type { FakePanel } from './fake-panel.js';
import {
  command,
  connectAgent,
  eventually,
  isAlive,
  makeDataDir,
  makePanel,
  outputOf,
  run,
  spawnAgent,
  specify,
  statesOf,
  waitForLine,
  waitForState,
} from './harness.js';

/** Writes so many lines a second as a busy game does, two thousand and more, and counts them. */
function counter(lineCount: number) {
  return `
    let i = 0;
    const timer = setInterval(() => {
      let text = '';
      for (let n = 0; n < 20 && i < ${lineCount}; n++) text += 'line ' + ++i + ' ' + 'x'.repeat(i % 90) + '\\n';
      process.stdout.write(text);
      if (i >= ${lineCount}) { clearInterval(timer); console.log('end'); setInterval(() => {}, 1000); }
    }, 8);
  `;
}

async function killAgent(child: ReturnType<typeof spawnAgent>) {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

async function agentProcess(panel: FakePanel, dataDir: string) {
  const from = panel.messages.length;
  const child = spawnAgent(panel, dataDir);
  await panel.waitFor('health_report', undefined, { from });
  return child;
}

/** In the inventory if it was known by then, else as news. */
function isTold(messages: AgentMessage[], state: string, exitCode: number) {
  const observations = messages.flatMap(
    (message): { state: string; exitCode?: number | null | undefined }[] => {
      if (message.type === 'inventory') return message.servers;
      return message.type === 'server_state_update' ? [message] : [];
    },
  );
  return observations.some((observed) => observed.state === state && observed.exitCode === exitCode);
}

function gapsOf(messages: AgentMessage[]) {
  return messages.flatMap((message) => (message.type === 'console_gap' ? [message] : []));
}

test('an agent killed again and again under a busy console loses no line and sends none twice', async () => {
  const panel = await makePanel();
  const dataDir = makeDataDir();
  let agent = await agentProcess(panel, dataDir);
  const lineCount = 8000;
  const server = specify('', { command: ['node', '-e', counter(lineCount)] });
  await run(panel, server);
  for (const reached of [500, 2000, 4000]) {
    await panel.until(`${reached} lines came`, () => outputOf(panel, server).length >= reached);
    await killAgent(agent);
    agent = await agentProcess(panel, dataDir);
  }
  await waitForLine(panel, server, 'end', 25_000);
  const lines = outputOf(panel, server);
  const wanted = Array.from(
    { length: lineCount },
    (_, index) => `line ${index + 1} ${'x'.repeat((index + 1) % 90)}`,
  );
  expect(lines).toEqual([...wanted, 'end']);
  expect(gapsOf(panel.messages)).toEqual([]);
  expect(panel.duplicates).toEqual([]);
  const inventories = panel.messages.flatMap((message) => (message.type === 'inventory' ? [message] : []));
  expect(inventories.at(-1)?.servers).toMatchObject([{ serverId: server.serverId, state: 'running' }]);
  expect(statesOf(panel, server)).toEqual(['installing', 'stopped', 'starting', 'running']);
});

test('a line that was unfinished when the agent was killed comes whole', async () => {
  const panel = await makePanel();
  const dataDir = makeDataDir();
  const agent = await agentProcess(panel, dataDir);
  const server = specify(`echo first; printf 'half '; echo mark >&2; read -r go; echo done; exec sleep 60`);
  await run(panel, server);
  await waitForLine(panel, server, 'mark');
  await killAgent(agent);
  await agentProcess(panel, dataDir);
  await command(panel, 'execute_command', { ...server, command: 'go' });
  await panel.until('the rest came', () => outputOf(panel, server).some((line) => line.endsWith('done')));
  const stdout = outputOf(panel, server).filter((line) => line !== 'mark');
  expect(stdout.join('|').replace('half |', 'half ')).toBe('first|half done');
});

test('a server that ended while the agent was dead is reported with its last output and its code', async () => {
  const panel = await makePanel();
  const dataDir = makeDataDir();
  const agent = await agentProcess(panel, dataDir);
  const server = specify('echo $$; while [ ! -e go ]; do sleep 0.05; done; echo goodbye; exit 7');
  await run(panel, server);
  await panel.until('it told its number', () => outputOf(panel, server).length === 1);
  const pid = Number(outputOf(panel, server)[0]);
  await killAgent(agent);
  const from = panel.messages.length;
  writeFileSync(join(dataDir, 'servers', server.serverUuid, 'go'), '');
  await eventually('it ended', () => !isAlive(pid));
  await agentProcess(panel, dataDir);
  await waitForLine(panel, server, 'goodbye');
  await panel.until('the crash is told', () => isTold(panel.messages.slice(from), 'crashed', 7));
  expect(outputOf(panel, server).slice(1)).toEqual(['goodbye']);
  // Nothing is left of it: neither the supervisor nor its directory.
  await eventually('the supervisor is gone', () => !existsSync(join(dataDir, 'shims', server.serverUuid)));
});

test('a stop that the agent did not live to finish is finished by the next one', async () => {
  const panel = await makePanel();
  const dataDir = makeDataDir();
  const agent = await agentProcess(panel, dataDir);
  const server = specify(`trap '[ -e ready ] && exit 0' TERM; echo up; while :; do sleep 0.05; done`, {
    restartPolicy: 'always',
  });
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  panel.send({ type: 'stop_server', ...server, timeoutSeconds: 60 });
  await waitForState(panel, server, 'stopping');
  await killAgent(agent);
  writeFileSync(join(dataDir, 'servers', server.serverUuid, 'ready'), '');
  const from = panel.messages.length;
  await agentProcess(panel, dataDir);
  await panel.until('the end is told', () => isTold(panel.messages.slice(from), 'stopped', 0));
});

test('SIGTERM to the agent leaves the server running, and the next agent goes on with it', async () => {
  const panel = await makePanel();
  const dataDir = makeDataDir();
  const agent = await agentProcess(panel, dataDir);
  const server = specify('echo $$; while read -r line; do echo "got $line"; done');
  await run(panel, server);
  await panel.until('it told its number', () => outputOf(panel, server).length === 1);
  const exited = once(agent, 'exit');
  agent.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
  expect(existsSync(join(dataDir, 'agent.lock'))).toBe(false);
  expect(isAlive(Number(outputOf(panel, server)[0]))).toBe(true);
  await agentProcess(panel, dataDir);
  await command(panel, 'execute_command', { ...server, command: 'hello' });
  await waitForLine(panel, server, 'got hello');
  await command(panel, 'kill_server', server);
  expect(panel.duplicates).toEqual([]);
});

test('an installation does not run on without its agent, and the next agent says so', async () => {
  const panel = await makePanel();
  const dataDir = makeDataDir();
  const agent = await agentProcess(panel, dataDir);
  const server = specify('true', { template: { installScript: 'sleep 600 & echo $!; wait' } });
  panel.send({ type: 'install_server', ...server });
  await panel.until('the script has told its child', () => outputOf(panel, server).length === 1);
  await killAgent(agent);
  await eventually('the child is dead', () => !isAlive(Number(outputOf(panel, server)[0])));
  const from = panel.messages.length;
  await agentProcess(panel, dataDir);
  const inventory = await panel.waitFor('inventory', undefined, { from });
  expect(inventory.servers).toMatchObject([{ state: 'stopped' }]);
  expect(inventory.servers[0]?.reason).toContain('interrupted');
});

test('the wait before a restart goes on after the agent was killed', async () => {
  const panel = await makePanel();
  const { dataDir, stop } = await connectAgent(panel, undefined, { crashBackoffMinMs: 1500 });
  const server = specify('echo up; [ -e second ] && exec sleep 60; touch second; exit 1', {
    restartPolicy: 'on-failure',
  });
  await run(panel, server);
  await waitForState(panel, server, 'crashed');
  await stop();
  const from = panel.messages.length;
  await connectAgent(panel, dataDir);
  const inventory = await panel.waitFor('inventory', undefined, { from });
  expect(inventory.servers).toMatchObject([{ state: 'crashed', crashCount: 1 }]);
  await waitForState(panel, server, 'running', from);
});

test('a server whose supervisor is killed is not left running without one', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel);
  const server = specify('echo $$; exec sleep 600');
  await run(panel, server);
  await panel.until('it told its number', () => outputOf(panel, server).length === 1);
  const shim = JSON.parse(readFileSync(join(dataDir, 'shims', server.serverUuid, 'shim.json'), 'utf8'));
  process.kill(shim.pid, 'SIGKILL');
  const crashed = await waitForState(panel, server, 'crashed');
  expect(crashed.exitCode).toBeNull();
  expect(isAlive(Number(outputOf(panel, server)[0]))).toBe(false);
});

test('a second agent with the same data directory ends with a message that names the first', async () => {
  const panel = await makePanel();
  const dataDir = makeDataDir();
  const first = await agentProcess(panel, dataDir);
  const second = spawnAgent(panel, dataDir);
  if (second.stderr === null) throw new Error('It was started with a pipe.');
  const [message, [code]] = await Promise.all([text(second.stderr), once(second, 'exit')]);
  expect(code).toBe(1);
  expect(message).toContain(`process ${first.pid}`);
  await killAgent(first);
  await agentProcess(panel, dataDir);
});

test('a server in a data directory with a very long path can be run and taken up again', async () => {
  const panel = await makePanel();
  const base = mkdtempSync(join(tmpdir(), 'catalyst-agent-'));
  chmodSync(base, 0o711);
  onTestFinished(() => rmSync(base, { recursive: true, force: true }));
  const dataDir = makeDataDir(join(base, 'd'.repeat(120)));
  const agent = await agentProcess(panel, dataDir);
  const server = specify('echo up; while read -r line; do echo "got $line"; done');
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  await killAgent(agent);
  await agentProcess(panel, dataDir);
  await command(panel, 'execute_command', { ...server, command: 'hello' });
  await waitForLine(panel, server, 'got hello');
});
