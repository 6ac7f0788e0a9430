import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findCgroupParents, listCgroupProcesses } from '../../agent/runtime/cgroups.js';
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
  waitForLine,
  waitForState,
} from './harness.js';

const controllers = findCgroupParents()?.controllers ?? [];

test('a server that is started the moment its end is told, starts', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('echo up; read -r go; exit 0');
  await run(panel, server);
  for (let round = 0; round < 8; round++) {
    const from = panel.messages.length;
    const isStopped = waitForState(panel, server, 'stopped', from);
    if (round % 2 === 0) panel.send({ type: 'execute_command', ...server, command: 'go' });
    else panel.send({ type: 'stop_server', ...server });
    await isStopped;
    expect(await command(panel, 'start_server', server)).toMatchObject({ ok: true });
    await panel.until('it runs', () => outputOf(panel, server).length === round + 2);
  }
});

test('a start-up expression that takes for ever is given up, and says so', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify(`echo '${'a'.repeat(60)}!'; echo after; exec sleep 60`, {
    template: { startupDetection: '^(a+)+$' },
  });
  await run(panel, server);
  await waitForLine(panel, server, 'after', 5000);
  await waitForState(panel, server, 'running');
  await panel.until('it is said', () =>
    [...(panel.lines.get(server.serverId)?.values() ?? [])].some((line) => line.includes('took too long')),
  );
});

test('a server whose supervisor cannot be reached is killed when that is asked for', async () => {
  const panel = await makePanel();
  const { dataDir, stop } = await connectAgent(panel);
  const server = specify('echo $$; exec sleep 600');
  await run(panel, server);
  await panel.until('it told its number', () => outputOf(panel, server).length === 1);
  const pid = Number(outputOf(panel, server)[0]);
  await stop();
  rmSync(join(dataDir, 'shims', server.serverUuid, 'socket'));
  await connectAgent(panel, dataDir);
  expect(await command(panel, 'kill_server', server)).toMatchObject({ ok: true });
  expect(isAlive(pid)).toBe(false);
});

test('deleting a server whose state cannot be read leaves nothing of it', async () => {
  const panel = await makePanel();
  const { dataDir, stop } = await connectAgent(panel);
  const server = specify('echo $$; exec sleep 600');
  await run(panel, server);
  await panel.until('it told its number', () => outputOf(panel, server).length === 1);
  await stop();
  writeFileSync(join(dataDir, 'state', `${server.serverUuid}.json`), '{');
  await connectAgent(panel, dataDir);
  expect(await command(panel, 'delete_server', server)).toMatchObject({ ok: true });
  expect(isAlive(Number(outputOf(panel, server)[0]))).toBe(false);
  const paths = [
    `state/${server.serverUuid}.json`,
    `journals/${server.serverUuid}.log`,
    `shims/${server.serverUuid}`,
    `servers/${server.serverUuid}`,
  ];
  expect(paths.filter((path) => existsSync(join(dataDir, path)))).toEqual([]);
});

test('a clock that was set back does not keep a crashed server waiting', async () => {
  const panel = await makePanel();
  const { dataDir, stop } = await connectAgent(panel, undefined, { crashBackoffMinMs: 60_000 });
  const server = specify('exit 1', { restartPolicy: 'on-failure' });
  await run(panel, server);
  await waitForState(panel, server, 'crashed');
  await stop();
  const path = join(dataDir, 'state', `${server.serverUuid}.json`);
  const record = JSON.parse(readFileSync(path, 'utf8'));
  record.restartAt = new Date(Date.now() + 24 * 3600_000).toISOString();
  writeFileSync(path, JSON.stringify(record));
  const from = panel.messages.length;
  await connectAgent(panel, dataDir, { crashBackoffMaxMs: 200 });
  await waitForState(panel, server, 'starting', from);
});

test('an agent whose data directory is lost while it runs goes on with its servers', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel, undefined, { healthIntervalMs: 50 });
  const server = specify('while read -r line; do echo "got $line"; done');
  await run(panel, server);
  rmSync(dataDir, { recursive: true });
  const from = panel.messages.length;
  await panel.waitFor('resource_stats', undefined, { from });
  await panel.waitFor('resource_stats', undefined, { from: panel.messages.length });
  await command(panel, 'execute_command', { ...server, command: 'hello' });
  await waitForLine(panel, server, 'got hello');
  await command(panel, 'kill_server', server);
});

test('an agent whose standard output is closed works on', async () => {
  const panel = await makePanel();
  const dataDir = makeDataDir();
  const child = spawnAgent(panel, dataDir, { stdout: 'closed' });
  await panel.waitFor('health_report');
  panel.disconnectAgents();
  await panel.waitFor('health_report', undefined, { from: panel.messages.length });
  expect(child.exitCode).toBeNull();
});

test('a stop with an endless time-out waits', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify(
    `trap 'echo stopping; sleep 1; echo saved; exit 0' TERM; echo up; while :; do sleep 0.05; done`,
  );
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  await command(panel, 'stop_server', { ...server, timeoutSeconds: 2 ** 31 });
  expect(outputOf(panel, server)).toContain('saved');
});

test('a game that locks its own directory can be started again', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('echo up; chmod 0 .');
  await run(panel, server);
  await waitForState(
    panel,
    server,
    'stopped',
    panel.messages.findIndex((message) => message.type === 'command_result') + 1,
  );
  const from = panel.messages.length;
  expect(await command(panel, 'start_server', server)).toMatchObject({ ok: true });
  await waitForState(panel, server, 'running', from);
});

test.runIf(existsSync('/usr/bin/setpriv'))('a game cannot gain rights by set-uid programs', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('grep NoNewPrivs /proc/self/status; exec sleep 60');
  await run(panel, server);
  await waitForLine(panel, server, 'NoNewPrivs:\t1');
});

test.runIf(controllers.includes('pids'))(
  'a game that forks as fast as it can is killed to its last process',
  async () => {
    const panel = await makePanel();
    const { dataDir } = await connectAgent(panel);
    const server = specify(
      "echo up; exec perl -e 'use POSIX; while (1) { if (fork() == 0) { POSIX::setsid() } }'",
      {
        allocatedMemoryMb: 1024,
        allocatedCpuCores: 1,
      },
    );
    await run(panel, server);
    await waitForLine(panel, server, 'up');
    const path = join(dataDir, 'shims', server.serverUuid, 'shim.json');
    const { cgroupDirectories } = JSON.parse(readFileSync(path, 'utf8'));
    await eventually('there are many', () => listCgroupProcesses(cgroupDirectories).length > 900);
    expect(await command(panel, 'kill_server', server)).toMatchObject({ ok: true });
    expect(listCgroupProcesses(cgroupDirectories)).toEqual([]);
    await eventually('its group is gone', () => !existsSync(cgroupDirectories[0]));
  },
);

test('the supervisor of a game that ended ends too when its directory was removed', async () => {
  const panel = await makePanel();
  const { dataDir, stop } = await connectAgent(panel);
  const server = specify('echo $$; exec sleep 600');
  await run(panel, server);
  await panel.until('it told its number', () => outputOf(panel, server).length === 1);
  const directory = join(dataDir, 'shims', server.serverUuid);
  const { pid } = JSON.parse(readFileSync(join(directory, 'shim.json'), 'utf8'));
  await stop();
  rmSync(directory, { recursive: true });
  process.kill(Number(outputOf(panel, server)[0]), 'SIGKILL');
  await eventually('the supervisor ended', () => !isAlive(pid), 20_000);
});

test('a command that is not understood is answered, so that nobody waits for it', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('true');
  panel.sendRaw(JSON.stringify({ ...server, type: 'start_server', commandId: 'c-1', allocatedMemoryMb: -1 }));
  expect(await panel.waitFor('command_result')).toMatchObject({
    commandId: 'c-1',
    ok: false,
    code: 'agent.message_invalid',
  });
});
