import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import WebSocket from 'ws';
import { freePort } from '../helpers/free-port.js';
import {
  isAlive,
  killLeftovers,
  localAgentPid,
  type PanelProcess,
  postgresPid,
  spawnProgram,
  startPanelProcess,
} from './panel-process.js';

// Real processes, several starts a test, beside other tests on the same cores.
vi.setConfig({ testTimeout: 120_000 });

/** On two cores, after `npm ci`. */
const COLD_START_MAX_MS = 15_000;

let dataDir: string;
let panels: PanelProcess[];

beforeEach(() => {
  dataDir = mkdtempSync(path.join(tmpdir(), 'catalyst-process-'));
  panels = [];
});

afterEach(async () => {
  for (const { child, exited } of panels) {
    child.kill('SIGKILL');
    await exited;
  }
  killLeftovers(dataDir);
  await vi.waitFor(() => {
    expect([localAgentPid(dataDir), postgresPid(dataDir)].map(isAlive)).toEqual([false, false]);
  });
  rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 });
});

async function start(
  environment: Record<string, string> = {},
  options: { file?: string; nodeOptions?: string[] } = {},
): Promise<PanelProcess> {
  const panel = await startPanelProcess({ DATA_DIR: dataDir, RUNTIME: 'process', ...environment }, options);
  panels.push(panel);
  return panel;
}

async function stop({ child, exited }: PanelProcess): Promise<number | null> {
  child.kill('SIGTERM');
  return exited;
}

/** A request whose headers and half of whose body have arrived; `finish` sends the rest and answers the answer. */
async function beginLogin(url: string): Promise<{ socket: Socket; finish(): Promise<string> }> {
  const body = JSON.stringify({ email: 'nobody@example.com', password: 'wrong password' });
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port) });
  await once(socket, 'connect');
  const head = `POST /api/auth/login HTTP/1.1\r\nhost: panel\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${body.length}\r\nexpect: 100-continue\r\n\r\n`;
  socket.write(head);
  // "100 Continue": the panel has begun with it.
  await once(socket, 'data');
  socket.write(body.slice(0, 10));
  return {
    socket,
    async finish() {
      let answer = '';
      socket.setEncoding('utf8').on('data', (text: string) => {
        answer += text;
      });
      socket.write(body.slice(10));
      await once(socket, 'close');
      return answer;
    },
  };
}

const patience = { timeout: 30_000 };

function bearer(token: string): { headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${token}` } };
}

async function signIn(url: string, password: string): Promise<string> {
  const answer = await fetch(`${url}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'admin@catalyst.local', password }),
  });
  const { data } = (await answer.json()) as { data: { token: string } };
  return data.token;
}

async function localNode(url: string, token: string): Promise<{ id: string; isOnline: boolean }> {
  const answer = await fetch(`${url}/api/nodes?search=local`, bearer(token));
  const { data } = (await answer.json()) as { data: { id: string; isOnline: boolean }[] };
  if (!data[0]) throw new Error('there is no local node');
  return data[0];
}

test('the first start is ready within 15 s, names the administrator, and the password works', async () => {
  const startedAt = performance.now();
  const panel = await start({}, { file: 'scripts/start.mjs' });
  const ready = await fetch(`${panel.url}/ready`);
  const tookMs = performance.now() - startedAt;
  console.log(`cold start to ready: ${(tookMs / 1000).toFixed(1)} s`);
  expect(ready.status).toBe(200);
  expect(tookMs).toBeLessThan(COLD_START_MAX_MS);

  const password = /Password +(\S+)/.exec(panel.output())?.[1];
  const login = await fetch(`${panel.url}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'admin@catalyst.local', password }),
  });
  expect(login.status).toBe(200);
  for (const file of ['jwt-secret', 'secrets-key', 'local-node.json']) {
    expect(statSync(path.join(dataDir, file)).mode & 0o777).toBe(0o600);
  }
  const { data } = (await login.json()) as { data: { token: string } };
  await vi.waitFor(
    async () => {
      const nodes = await fetch(`${panel.url}/api/nodes`, {
        headers: { authorization: `Bearer ${data.token}` },
      });
      expect(await nodes.json()).toMatchObject({ data: [{ name: 'local', isOnline: true }] });
    },
    { timeout: 30_000 },
  );
});

test('SIGTERM lets a running request finish, closes sockets with 1001, ends agent and database, and exits 0', async () => {
  const panel = await start();
  const client = new WebSocket(`${panel.url.replace('http', 'ws')}/ws`);
  await once(client, 'open');
  await vi.waitFor(() => expect(isAlive(localAgentPid(dataDir))).toBe(true), { timeout: 30_000 });
  const children = [localAgentPid(dataDir), postgresPid(dataDir)];
  const request = await beginLogin(panel.url);
  const closed = once(client, 'close');

  panel.child.kill('SIGTERM');
  expect((await closed)[0]).toBe(1001);
  expect(await request.finish()).toMatch(/^HTTP\/1\.1 401 /);
  expect(await panel.exited).toBe(0);
  expect(children.map(isAlive)).toEqual([false, false]);

  const second = await start();
  expect(second.output()).not.toContain('Password ');
  expect(await stop(second)).toBe(0);
});

test('a second signal ends the process at once', async () => {
  const panel = await start({ LOCAL_AGENT: 'false' });
  const { socket } = await beginLogin(panel.url);
  socket.on('error', () => {});
  panel.child.kill('SIGTERM');
  await vi.waitFor(() => expect(panel.output()).toContain('"msg":"stopping"'));
  const signalledAt = performance.now();
  panel.child.kill('SIGTERM');
  expect(await panel.exited).toBe(1);
  expect(performance.now() - signalledAt).toBeLessThan(2000);
});

test('after kill -9 of the panel the next one takes over its database and its agent', async () => {
  const PORT = String(await freePort());
  const killed = await start({ PORT });
  await vi.waitFor(() => expect(isAlive(localAgentPid(dataDir))).toBe(true), { timeout: 30_000 });
  const before = [localAgentPid(dataDir), postgresPid(dataDir)];
  killed.child.kill('SIGKILL');
  await killed.exited;
  expect(before.map(isAlive)).toEqual([true, true]);

  const next = await start({ PORT });
  expect(next.output()).toContain('PostgreSQL adopted');
  await vi.waitFor(() => expect(next.output()).toContain('local agent adopted'));
  expect([localAgentPid(dataDir), postgresPid(dataDir)]).toEqual(before);
  expect(await stop(next)).toBe(0);
  expect(before.map(isAlive)).toEqual([false, false]);
});

test('a local agent that dies is started again, and one with old settings is replaced', async () => {
  const panel = await start();
  await vi.waitFor(() => expect(isAlive(localAgentPid(dataDir))).toBe(true), { timeout: 30_000 });
  const first = localAgentPid(dataDir) ?? 0;
  process.kill(first, 'SIGKILL');
  await vi.waitFor(
    () => {
      expect(localAgentPid(dataDir)).not.toBe(first);
      expect(isAlive(localAgentPid(dataDir))).toBe(true);
    },
    { timeout: 30_000 },
  );
  const second = localAgentPid(dataDir);
  panel.child.kill('SIGKILL');
  await panel.exited;
  // It listens on another port: the agent has to dial that one.
  await start();
  await vi.waitFor(() => expect(isAlive(second)).toBe(false), { timeout: 30_000 });
  await vi.waitFor(() => expect(isAlive(localAgentPid(dataDir))).toBe(true), { timeout: 30_000 });
});

test.each([
  ['ended', 'SIGKILL'],
  ['did not answer', 'SIGSTOP'],
] as const)(
  'a local agent that %s when the secret of its node was replaced is given the new one',
  async (_, signal) => {
    const ADMIN_PASSWORD = 'correct horse battery staple';
    const { url, output } = await start({ ADMIN_PASSWORD, HEARTBEAT_INTERVAL_MS: '1000' });
    const token = await signIn(url, ADMIN_PASSWORD);
    await vi.waitFor(
      async () => expect(await localNode(url, token)).toMatchObject({ isOnline: true }),
      patience,
    );
    const { id } = await localNode(url, token);
    const agent = localAgentPid(dataDir) ?? 0;
    process.kill(agent, signal);
    const hasLeft = () => expect(output()).toContain('an agent disconnected');
    await vi.waitFor(hasLeft, { ...patience, interval: 5 });

    const answer = await fetch(`${url}/api/nodes/${id}/rotate-secret`, { method: 'POST', ...bearer(token) });
    expect(await answer.json()).toMatchObject({ data: { agentUpdated: false } });
    if (signal === 'SIGSTOP') process.kill(agent, 'SIGCONT');
    await vi.waitFor(
      async () => expect(await localNode(url, token)).toMatchObject({ isOnline: true }),
      patience,
    );
  },
);

test('an error that nobody caught stops everything in order and exits 1', async () => {
  const throwLater = 'data:text/javascript,process.on("SIGWINCH",()=>{throw new Error("nobody caught me")})';
  const panel = await start({ LOCAL_AGENT: 'false' }, { nodeOptions: ['--import', throwLater] });
  const database = postgresPid(dataDir);
  panel.child.kill('SIGWINCH');
  expect(await panel.exited).toBe(1);
  expect(panel.output()).toContain('nobody caught me');
  expect(isAlive(database)).toBe(false);
});

test('a port in use ends the start with what to do, before anything else is started', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = String(typeof address === 'object' ? address?.port : 0);
  const program = spawnProgram('dist/main.js', { DATA_DIR: dataDir, PORT: port });
  expect(await program.exited).toBe(1);
  server.close();
  expect(program.output()).toContain(`Port ${port} on 127.0.0.1 is in use`);
  expect(readdirSync(dataDir)).toEqual([]);
});

test('settings that are not valid are all named at once, and nothing is started', async () => {
  const program = spawnProgram('dist/main.js', {
    DATA_DIR: dataDir,
    PORT: 'often',
    JWT_SECRET: 'short',
    REGISTRATION: 'maybe',
    DATABASE_URL: 'mysql://elsewhere',
    ADMIN_PASSWORD: '1234',
  });
  expect(await program.exited).toBe(1);
  for (const name of ['PORT', 'JWT_SECRET', 'REGISTRATION', 'DATABASE_URL', 'ADMIN_PASSWORD']) {
    expect(program.output()).toMatch(new RegExp(`^ +${name}: .+`, 'm'));
  }
  expect(program.output()).not.toContain('short');
  expect(readdirSync(dataDir)).toEqual([]);
});

test('goes on, and stops, although nobody reads its log', async () => {
  const { child, url } = await start({
    LOG_LEVEL: 'debug',
    LOCAL_AGENT: 'false',
    HEALTH_RATE_LIMIT_PER_MINUTE: '0',
  });
  child.stdout?.pause();
  // Several times of what a pipe holds.
  for (let request = 0; request < 5000; request += 1) {
    const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(5000) });
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
  }
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
});
