import { readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  command,
  connectAgent,
  isRoot,
  linesOf,
  makePanel,
  outputOf,
  run,
  SERVER_UID,
  specify,
  waitForLine,
  waitForState,
} from './harness.js';

const port = (value: string) => ({
  path: 'server.properties',
  parser: 'properties' as const,
  values: { 'server-port': value },
});

test('the files say what the template wants before each start, also before one after a crash', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel);
  const script =
    'cat server.properties config/net.yml; echo server-port=1 > server.properties; read -r _; exit 3';
  const server = specify(script, {
    restartPolicy: 'always',
    configFiles: [
      port('25565'),
      { path: '/config/net.yml', parser: 'yaml', values: { 'net.port': '25565' } },
    ],
  });
  await run(panel, server);
  const shown = ['server-port=25565', 'net:', '  port: 25565'];
  await panel.until('it has shown its files', () => outputOf(panel, server).length === 3);
  expect(outputOf(panel, server)).toEqual(shown);
  const directory = join(dataDir, 'servers', server.serverUuid);
  if (isRoot)
    expect(statSync(join(directory, 'config/net.yml'))).toMatchObject({ uid: SERVER_UID, gid: SERVER_UID });

  // It crashes, and starts again by itself: what it has written over its file is set right.
  await command(panel, 'execute_command', { ...server, command: 'crash' });
  await panel.until('it has shown them again', () => outputOf(panel, server).length === 6);
  expect(outputOf(panel, server).slice(3)).toEqual(shown);

  const changed = { ...server, configFiles: [port('25570')] };
  expect((await command(panel, 'restart_server', changed)).ok).toBe(true);
  await waitForLine(panel, server, 'server-port=25570');
});

test('a file that cannot be changed is told on the console, and the server starts all the same', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel);
  const server = specify('echo started; read -r _', {
    configFiles: [
      { path: 'a.json', parser: 'json', values: { a: 1 } },
      { path: 'etc/passwd', parser: 'properties', values: { root: 'x' } },
      port('25565'),
    ],
  });
  const directory = join(dataDir, 'servers', server.serverUuid);
  expect((await command(panel, 'install_server', server)).ok).toBe(true);
  writeFileSync(join(directory, 'a.json'), '{ broken');
  symlinkSync('/etc', join(directory, 'etc'));
  expect((await command(panel, 'start_server', server)).ok).toBe(true);
  await waitForLine(panel, server, 'started');
  expect(linesOf(panel, server).filter((line) => line.includes('stays as it is'))).toEqual([
    '[Catalyst] The file a.json stays as it is: it is not valid JSON (line 1).',
    '[Catalyst] The file etc/passwd stays as it is: "etc" is a link or otherwise no directory.',
  ]);
  expect(readFileSync(join(directory, 'a.json'), 'utf8')).toBe('{ broken');
  expect(readFileSync(join(directory, 'server.properties'), 'utf8')).toBe('server-port=25565\n');
});

test.runIf(isRoot)(
  'the agent’s rights are not used: what the servers’ user cannot read stays as it is',
  async () => {
    const panel = await makePanel();
    const { dataDir } = await connectAgent(panel);
    const server = specify('echo started; read -r _', { configFiles: [port('25565')] });
    await command(panel, 'install_server', server);
    const path = join(dataDir, 'servers', server.serverUuid, 'server.properties');
    writeFileSync(path, 'secret=1\n', { mode: 0o600 });
    await command(panel, 'start_server', server);
    await waitForLine(panel, server, 'started');
    expect(linesOf(panel, server)).toContain(
      '[Catalyst] The file server.properties stays as it is: it could not be read or written (EACCES).',
    );
  },
);

test('an expression that never comes to an end is given up, and the server starts', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel);
  const wanted = { 'regex:^(a+)+$': 'b' };
  const server = specify('echo started; read -r _', {
    configFiles: [{ path: 'x.properties', parser: 'properties', values: { a: wanted } }],
  });
  await command(panel, 'install_server', server);
  const directory = join(dataDir, 'servers', server.serverUuid);
  writeFileSync(join(directory, 'x.properties'), `a=${'a'.repeat(60)}!\n`);
  panel.send({ ...server, type: 'start_server', commandId: 'start' });
  await waitForLine(panel, server, 'started', 30_000);
  expect(linesOf(panel, server).join()).toContain('The configuration files could not be changed');
}, 40_000);

test('a server on plain processes has no address of its own', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const network = {
    name: 'lan',
    driver: 'bridge' as const,
    parentInterface: null,
    cidr: '10.1.0.0/24',
    gateway: null,
    ipAddress: '10.1.0.5',
  };
  const server = specify('echo started');
  expect(await command(panel, 'install_server', { ...server, network })).toMatchObject({
    ok: false,
    message: expect.stringContaining('without Docker'),
  });
  expect((await command(panel, 'install_server', server)).ok).toBe(true);
  expect(await command(panel, 'start_server', { ...server, network })).toMatchObject({
    ok: false,
    code: 'start.failed',
  });
  const { capabilities } = await panel.waitFor('node_handshake');
  expect(capabilities).toContain('config-files');
  expect(capabilities).not.toContain('networks');
});

test('a script for root runs as the servers’ user on plain processes, by the shell that it asks for', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const template = {
    installScript: 'echo "$(id -u) $(basename $BASH)"',
    installShell: 'bash',
    installAsRoot: true,
  };
  const server = specify('true', { template });
  expect((await command(panel, 'install_server', server)).ok).toBe(true);
  expect(outputOf(panel, server)).toEqual([`${isRoot ? SERVER_UID : process.getuid?.()} bash`]);
  expect(linesOf(panel, server).join()).toContain('it runs as an ordinary user');
  const missing = specify('true', { template: { ...template, installShell: 'no-such-shell' } });
  expect((await command(panel, 'install_server', missing)).message).toContain('no-such-shell');
});

test('the crash policy of a running server changes without a start, is kept, and forgets its crashes', async () => {
  const panel = await makePanel();
  const agent = await connectAgent(panel);
  const server = specify('read -r _; exit 3', { restartPolicy: 'on-failure', maxCrashCount: 5 });
  await run(panel, server);
  await command(panel, 'execute_command', { ...server, command: 'crash' });
  await waitForState(panel, server, 'crashed');
  const from = panel.messages.length;
  await waitForState(panel, server, 'running', from - 1);
  const policy = { ...server, restartPolicy: 'never' as const, maxCrashCount: 1, resetCrashCount: true };
  expect((await command(panel, 'crash_policy', policy)).ok).toBe(true);
  const told = panel.messages.findLast((message) => message.type === 'server_state_update');
  expect(told).toMatchObject({ state: 'running', crashCount: 0 });

  await agent.stop();
  await connectAgent(panel, agent.dataDir);
  const before = panel.messages.length;
  await command(panel, 'execute_command', { ...server, command: 'crash' });
  const crashed = await waitForState(panel, server, 'crashed', before);
  expect(crashed).toMatchObject({ crashCount: 1 });
  expect(crashed.restartInMs).toBeUndefined();
});

test('a start that the policy had planned is not carried out when the policy is never now', async () => {
  const panel = await makePanel();
  await connectAgent(panel, undefined, { crashBackoffMinMs: 60_000 });
  const server = specify('exit 3', { restartPolicy: 'always', maxCrashCount: 5 });
  await run(panel, server);
  expect((await waitForState(panel, server, 'crashed')).restartInMs).toBeGreaterThan(1000);
  const policy = { ...server, restartPolicy: 'never' as const, maxCrashCount: 5, resetCrashCount: false };
  await command(panel, 'crash_policy', policy);
  const told = panel.messages.findLast((message) => message.type === 'server_state_update');
  expect(told).toMatchObject({ state: 'crashed', crashCount: 1 });
  expect(told).not.toHaveProperty('restartInMs');
  expect(
    await command(panel, 'crash_policy', { ...policy, serverId: 'other', serverUuid: crypto.randomUUID() }),
  ).toMatchObject({ code: 'server.not_installed' });
});
