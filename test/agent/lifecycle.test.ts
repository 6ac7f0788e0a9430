import { randomUUID } from 'node:crypto';
import { existsSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  command,
  connectAgent,
  eventually,
  isAlive,
  isRoot,
  linesOf,
  makePanel,
  outputOf,
  run,
  SERVER_UID,
  specify,
  statesOf,
  waitForLine,
  waitForState,
} from './harness.js';

const ECHO = 'while read -r line; do [ "$line" = stop ] && exit 0; echo "got $line"; done';

test('a server is installed, started, written to and stopped, with its console and states on the wire', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify(`echo "Done (1s)!"; ${ECHO}`, {
    template: { startupDetection: '^Done \\(', stopCommand: 'stop' },
  });
  await run(panel, server);
  await waitForState(panel, server, 'running');
  expect((await command(panel, 'execute_command', { ...server, command: 'hello' })).ok).toBe(true);
  panel.send({ type: 'console_input', serverId: server.serverId, data: 'world\n' });
  await waitForLine(panel, server, 'got world');
  expect((await command(panel, 'stop_server', server)).ok).toBe(true);
  expect(statesOf(panel, server)).toEqual([
    'installing',
    'stopped',
    'starting',
    'running',
    'stopping',
    'stopped',
  ]);
  expect(outputOf(panel, server)).toEqual(['Done (1s)!', 'got hello', 'got world']);
});

test('start-up is detected behind colour codes, and not before the line comes', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify(`echo waiting; read -r line; printf '\\033[32mServer\\033[0m ready\\n'; ${ECHO}`, {
    template: { startupDetection: '^Server ready$' },
  });
  await run(panel, server);
  await waitForLine(panel, server, 'waiting');
  expect(statesOf(panel, server).at(-1)).toBe('starting');
  await command(panel, 'execute_command', { ...server, command: 'go' });
  await waitForState(panel, server, 'running');
});

test('without a stop command the signal of the template is sent', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify(`trap 'echo saving; exit 0' USR1; echo up; while :; do sleep 0.05; done`, {
    template: { stopSignal: 'SIGUSR1' },
  });
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  expect((await command(panel, 'stop_server', server)).ok).toBe(true);
  expect(outputOf(panel, server)).toEqual(['up', 'saving']);
  const stopped = panel.messages.filter((message) => message.type === 'server_state_update').at(-1);
  expect(stopped).toMatchObject({ state: 'stopped', exitCode: 0, reason: null });
});

test('a server that does not stop within the time is killed, and says so', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify(`trap '' TERM; echo up; while :; do sleep 0.05; done`);
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  expect((await command(panel, 'stop_server', { ...server, timeoutSeconds: 1 })).ok).toBe(true);
  const stopped = panel.messages.filter((message) => message.type === 'server_state_update').at(-1);
  expect(stopped).toMatchObject({ state: 'stopped', exitCode: 137 });
  expect(linesOf(panel, server).at(-1)).toBe('[Catalyst] The server did not stop within 1 s and was killed.');
});

test('kill goes through while a stop is waiting', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify(`trap '' TERM; echo up; while :; do sleep 0.05; done`);
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  const stopping = command(panel, 'stop_server', { ...server, timeoutSeconds: 20 });
  await waitForState(panel, server, 'stopping');
  const busy = await command(panel, 'stop_server', server);
  expect(busy).toMatchObject({ ok: false, code: 'server.busy' });
  expect((await command(panel, 'kill_server', server)).ok).toBe(true);
  expect((await stopping).ok).toBe(true);
  expect(statesOf(panel, server).slice(-2)).toEqual(['stopping', 'stopped']);
});

test('kill during a restart leaves the server stopped', async () => {
  const panel = await makePanel();
  await connectAgent(panel, undefined, { restartDelayMs: 10_000 });
  const server = specify('echo up; exec sleep 60');
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  const from = panel.messages.length;
  const restarting = command(panel, 'restart_server', server);
  await waitForState(panel, server, 'stopped', from);
  expect((await command(panel, 'kill_server', server)).ok).toBe(true);
  expect(await restarting).toMatchObject({ ok: false, code: 'command.cancelled' });
  expect(outputOf(panel, server)).toEqual(['up']);
  expect(statesOf(panel, server).at(-1)).toBe('stopped');
});

test('restart stops and starts, also by the address alone', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('echo up; exec sleep 60');
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  const { serverId, serverUuid } = server;
  expect((await command(panel, 'restart_server', { serverId, serverUuid })).ok).toBe(true);
  await panel.until('it is up again', () => outputOf(panel, server).length === 2);
  expect(statesOf(panel, server).slice(-5)).toEqual([
    'running',
    'stopping',
    'stopped',
    'starting',
    'running',
  ]);
});

test('a crashing server is started again with a growing wait, until it has crashed too often', async () => {
  const panel = await makePanel();
  await connectAgent(panel, undefined, { crashBackoffMinMs: 100 });
  const server = specify('echo up; exit 3', { restartPolicy: 'on-failure', maxCrashCount: 2 });
  await run(panel, server);
  const last = await panel.waitFor('server_state_update', ({ crashCount }) => crashCount === 3);
  const crashes = panel.messages.flatMap((message) =>
    message.type === 'server_state_update' && message.state === 'crashed' ? [message] : [],
  );
  expect(crashes.map(({ exitCode }) => exitCode)).toEqual([3, 3, 3]);
  expect(crashes.map(({ crashCount }) => crashCount)).toEqual([1, 2, 3]);
  // What is reported is what is left of the wait; what is announced is the whole of it.
  for (const { restartInMs } of crashes.slice(0, 2)) expect(restartInMs).toEqual(expect.any(Number));
  const waits = linesOf(panel, server).flatMap(
    (line) => /Starting it again in (.*) s\./.exec(line)?.[1] ?? [],
  );
  expect(waits).toEqual(['0.1', '0.2']);
  expect(last.restartInMs).toBeUndefined();
  expect(last.reason).toContain('exited with code 3');
  expect(outputOf(panel, server)).toEqual(['up', 'up', 'up']);
});

test('a stop while a crashed server waits for its restart ends the waiting', async () => {
  const panel = await makePanel();
  await connectAgent(panel, undefined, { crashBackoffMinMs: 60_000 });
  const server = specify('exit 3', { restartPolicy: 'always', maxCrashCount: 5 });
  await run(panel, server);
  await waitForState(panel, server, 'crashed');
  expect((await command(panel, 'stop_server', server)).ok).toBe(true);
  const stopped = panel.messages.filter((message) => message.type === 'server_state_update').at(-1);
  expect(stopped).toMatchObject({ state: 'stopped' });
  expect(stopped).not.toHaveProperty('restartInMs');
});

test('the crash count is cleared after healthy running', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel, undefined, { healthyAfterMs: 300 });
  const flag = join(dataDir, 'servers');
  const server = specify('[ -e crashed ] || { touch crashed; exit 1; }; echo up; exec sleep 60', {
    restartPolicy: 'on-failure',
  });
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  expect(existsSync(join(flag, server.serverUuid, 'crashed'))).toBe(true);
  await panel.waitFor(
    'server_state_update',
    ({ state, crashCount }) => state === 'running' && crashCount === 1,
  );
  await panel.waitFor(
    'server_state_update',
    ({ state, crashCount }) => state === 'running' && crashCount === 0,
    {
      from: panel.messages.findIndex(
        (message) => message.type === 'server_state_update' && message.crashCount === 1,
      ),
    },
  );
});

test('an exit with code 0 is no crash, but under the policy "always" it is', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const quiet = specify('echo bye', { restartPolicy: 'on-failure' });
  await run(panel, quiet);
  const ended = await panel.waitFor(
    'server_state_update',
    ({ serverId, reason }) => serverId === quiet.serverId && reason === 'exited by itself with code 0',
  );
  expect(ended).toMatchObject({ state: 'stopped', exitCode: 0, crashCount: 0 });
  const always = specify('echo bye', { restartPolicy: 'always', maxCrashCount: 1 });
  await run(panel, always);
  await panel.waitFor(
    'server_state_update',
    ({ serverId, crashCount }) => serverId === always.serverId && crashCount === 2,
  );
});

test('a command that cannot be started leaves the server crashed, with the reason', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('', { command: ['/nonexistent/game'], restartPolicy: 'always' });
  await command(panel, 'install_server', server);
  const result = await command(panel, 'start_server', server);
  expect(result).toMatchObject({ ok: false, code: 'start.failed' });
  expect(result.message).toContain('ENOENT');
  expect(statesOf(panel, server).slice(-2)).toEqual(['starting', 'crashed']);
});

test('commands out of place are refused with a code', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('exec sleep 60');
  expect(await command(panel, 'start_server', server)).toMatchObject({
    ok: false,
    code: 'server.not_installed',
  });
  await run(panel, server);
  expect(await command(panel, 'start_server', server)).toMatchObject({
    ok: false,
    code: 'server.already_running',
  });
  expect(await command(panel, 'install_server', server)).toMatchObject({
    ok: false,
    code: 'server.not_stopped',
  });
  const other = { ...server, serverUuid: randomUUID() };
  expect(await command(panel, 'stop_server', other)).toMatchObject({ ok: false, code: 'server.mismatch' });
  await command(panel, 'kill_server', server);
  const input = await command(panel, 'execute_command', { ...server, command: 'x' });
  expect(input).toMatchObject({ ok: false, code: 'server.not_running' });
  const suspended = await command(panel, 'start_server', { ...server, suspended: true });
  expect(suspended).toMatchObject({ ok: false, code: 'server.suspended' });
});

test('a command that comes twice is done once and answered twice', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify(ECHO);
  await run(panel, server);
  const commandId = randomUUID();
  await command(panel, 'execute_command', { ...server, command: 'once', commandId });
  const from = panel.messages.length;
  panel.send({ type: 'execute_command', ...server, command: 'once', commandId });
  await panel.waitFor('command_result', (result) => result.commandId === commandId, { from });
  await command(panel, 'execute_command', { ...server, command: 'last' });
  await waitForLine(panel, server, 'got last');
  expect(outputOf(panel, server)).toEqual(['got once', 'got last']);
});

test('kill ends everything the server has started, also what has left its process group', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('(sleep 600 & echo $!; wait) & setsid sleep 600 & echo $!; wait');
  await run(panel, server);
  await panel.until('both children are told', () => outputOf(panel, server).length === 2);
  const pids = outputOf(panel, server).map(Number);
  expect(pids.map(isAlive)).toEqual([true, true]);
  await command(panel, 'kill_server', server);
  // Leaving the group escapes only where there is no control group to hold it.
  const held = isRoot ? pids : pids.slice(0, 1);
  await eventually('they are dead', () => !held.some(isAlive));
});

test.runIf(isRoot)('a game runs as the unprivileged user, in a directory that it owns', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('id -u; id -g; id -G; stat -c %u .; echo x > file && echo written; exec sleep 60');
  await run(panel, server);
  await waitForLine(panel, server, 'written');
  const uid = String(SERVER_UID);
  expect(outputOf(panel, server)).toEqual([uid, uid, uid, uid, 'written']);
});

test('a game gets a clean environment and what the panel gives it, nothing of the agent', async () => {
  process.env.AGENT_SECRET_OF_TEST = 'must not be seen';
  onTestFinished(() => {
    delete process.env.AGENT_SECRET_OF_TEST;
  });
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel);
  const server = specify('env | cut -d= -f1 | sort; echo "in $PWD $HOME"; echo "$GREETING"', {
    environment: { GREETING: 'hello  $world' },
  });
  await run(panel, server);
  await waitForLine(panel, server, 'hello  $world');
  const directory = join(dataDir, 'servers', server.serverUuid);
  expect(outputOf(panel, server)).toEqual([
    ...['GREETING', 'HOME', 'LANG', 'PATH', 'PWD', 'TERM', 'TZ', 'USER'],
    `in ${directory} ${directory}`,
    'hello  $world',
  ]);
});

test('delete kills the server and removes its files, but nothing that its links lead to', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel);
  const server = specify('echo up; exec sleep 60');
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  writeFileSync(join(dataDir, 'precious'), 'x');
  symlinkSync(dataDir, join(dataDir, 'servers', server.serverUuid, 'link'));
  expect((await command(panel, 'delete_server', server)).ok).toBe(true);
  for (const name of ['servers/', 'state/', 'journals/', 'shims/']) {
    expect(existsSync(join(dataDir, name, server.serverUuid))).toBe(false);
  }
  expect(existsSync(join(dataDir, 'state', `${server.serverUuid}.json`))).toBe(false);
  expect(existsSync(join(dataDir, 'journals', `${server.serverUuid}.log`))).toBe(false);
  expect(existsSync(join(dataDir, 'precious'))).toBe(true);
  expect((await command(panel, 'delete_server', server)).ok).toBe(true);
});

test('a running server is measured, its disk included', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('head -c 3000000 /dev/zero > file; echo up; while :; do :; done');
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  const stats = await panel.waitFor(
    'resource_stats',
    ({ cpu, diskUsageMb }) => cpu > 20 && (diskUsageMb ?? 0) > 2,
  );
  expect(stats.memoryMb).toBeGreaterThan(0.1);
  expect(stats.diskUsageMb).toBeLessThan(10);
  const health = await panel.waitFor('health_report');
  expect(health.memoryTotalMb).toBeGreaterThan(health.memoryUsageMb);
  expect(health.diskTotalMb).toBeGreaterThan(0);
});
