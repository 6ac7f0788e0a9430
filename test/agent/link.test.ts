import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { startAgent } from '../../agent/agent.js';
import { loadAgentConfig } from '../../agent/config.js';
import {
  agentConfig,
  command,
  configureCommand,
  connectAgent,
  eventually,
  linesOf,
  makeDataDir,
  makePanel,
  run,
  shimCommand,
  specify,
  waitForLine,
} from './harness.js';

test('the handshake tells node, token and capabilities, and heartbeats come as often as the panel asks', async () => {
  const panel = await makePanel({ welcome: { heartbeatIntervalMs: 50 } });
  await connectAgent(panel);
  expect(panel.messages[0]).toMatchObject({
    type: 'node_handshake',
    nodeId: 'node-1',
    token: 'token-1',
    runtime: 'process',
  });
  expect(panel.messages[1]?.type).toBe('inventory');
  await panel.until(
    'three heartbeats',
    () => panel.messages.filter(({ type }) => type === 'heartbeat').length >= 3,
  );
});

test('the secret from the handshake is stored for the owner alone and used from then on', async () => {
  const panel = await makePanel({ welcome: { secret: 'secret-1' } });
  const { dataDir, stop } = await connectAgent(panel);
  expect(statSync(join(dataDir, 'credentials.json')).mode & 0o777).toBe(0o600);
  expect(JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8'))).toEqual({
    'node-1': { secret: 'secret-1' },
  });
  await stop();
  panel.settings.welcome = {};
  const next = await connectAgent(panel, dataDir);
  expect(panel.tokens).toEqual(['token-1', 'secret-1']);
  await next.stop();
  // A stored secret that is refused gives way to the token from the environment.
  panel.settings.refusedTokens = ['secret-1'];
  await connectAgent(panel, dataDir);
  expect(panel.tokens.slice(2)).toEqual(['secret-1', 'token-1']);
});

test('a panel that refuses the connection by HTTP is tried again, slowly', async () => {
  let requests = 0;
  const server = createServer((_request, response) => {
    requests += 1;
    response.writeHead(401).end();
  });
  server.on('upgrade', (_request, socket) => {
    requests += 1;
    socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const messages: string[] = [];
  const stream = { write: (line: string) => messages.push(line) };
  const config = {
    ...agentConfig({ url: `http://127.0.0.1:${port}` }, makeDataDir()),
    nodeToken: 'secret-token',
  };
  const timings = { unauthorizedWaitMs: 200, redialMinMs: 1 };
  const agent = await startAgent({
    config,
    shimCommand,
    configureCommand,
    log: pino({ level: 'trace' }, stream),
    timings,
  });
  onTestFinished(() => agent.stop());
  const startedAtMs = performance.now();
  await eventually('it has tried three times', () => requests >= 3);
  expect(performance.now() - startedAtMs).toBeGreaterThan(390);
  expect(messages.join('')).toContain('make a new deployment token');
  expect(messages.join('')).not.toContain('secret-token');
});

test('messages that are not understood change nothing', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  for (const bad of [
    '{',
    '[]',
    '"x"',
    'null',
    '{"type":"unheard_of"}',
    '{"type":"start_server"}',
    '{"type":5}',
  ]) {
    panel.sendRaw(bad);
  }
  panel.sendRaw(JSON.stringify({ type: 'console_ack', serverId: 'unknown', seq: 5 }));
  const server = specify('echo up; exec sleep 60');
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  expect(panel.tokens).toHaveLength(1);
});

test('after the panel was away the agent comes back with everything, its results included', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('read -r go; echo going; exec sleep 60');
  await run(panel, server);
  panel.send({ type: 'restart_server', ...server, commandId: 'restart-1' });
  await panel.waitFor('server_state_update', ({ state }) => state === 'stopping');
  await panel.close();
  const next = await makePanel({}, panel);
  const result = await next.waitFor('command_result', ({ commandId }) => commandId === 'restart-1');
  expect(result.ok).toBe(true);
  expect((await command(next, 'execute_command', { ...server, command: 'go' })).ok).toBe(true);
  await waitForLine(next, server, 'going');
});

test('a replaced agent waits long before it tries again', async () => {
  const panel = await makePanel();
  await connectAgent(panel, undefined, { replacedWaitMs: 800 });
  const closedAtMs = performance.now();
  panel.disconnectAgents(4409);
  await panel.until('it came back', () => panel.tokens.length === 2);
  expect(performance.now() - closedAtMs).toBeGreaterThan(750);
});

test('a silent panel is noticed and dialled anew', async () => {
  const panel = await makePanel();
  await connectAgent(panel, undefined, { pingIntervalMs: 100 });
  panel.pause();
  await panel.until('it came again', () => panel.tokens.length >= 2);
});

test('a panel that speaks only the documented messages gets states and console', async () => {
  const panel = await makePanel({ acknowledges: false, documentedOnly: true });
  await connectAgent(panel);
  const { command: _command, restartPolicy: _policy, ...documented } = specify('');
  const server = {
    ...documented,
    template: { dockerImage: 'unused', startCommand: `sh -c 'echo "two words"; exec sleep 60'` },
  };
  panel.send({ type: 'install_server', ...server });
  await panel.waitFor('server_state_update', ({ state }) => state === 'stopped');
  panel.send({ type: 'start_server', ...server });
  await panel.waitFor('console_output', ({ data }) => data === 'two words\n');
  panel.send({ type: 'stop_server', serverId: server.serverId, serverUuid: server.serverUuid });
  const from = panel.messages.length;
  await panel.waitFor('server_state_update', ({ state }) => state === 'stopped', { from });
  expect(panel.messages.some(({ type }) => type === 'inventory')).toBe(false);
});

test('an agent whose data directory was lost numbers on from what the panel has', async () => {
  const panel = await makePanel();
  const server = specify('echo up; exec sleep 60');
  panel.lines.set(server.serverId, new Map([[41, 'old']]));
  await connectAgent(panel);
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  const numbers = [...(panel.lines.get(server.serverId)?.keys() ?? [])];
  expect(numbers).toEqual([41, 42, 43, 44]);
  expect(linesOf(panel, server)).toEqual([
    'old',
    '[Catalyst] Installing the server',
    '[Catalyst] The server is installed',
    'up',
  ]);
});

test('all problems of the settings are told at once', () => {
  const load = () => loadAgentConfig({ PANEL_URL: 'ftp://x', RUNTIME: 'podman', SERVER_UID: '0' });
  expect(load).toThrow(/PANEL_URL[\s\S]*NODE_ID[\s\S]*RUNTIME[\s\S]*SERVER_UID/);
});
