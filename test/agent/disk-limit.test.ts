import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createServerDirectories } from '../../agent/servers/directories.js';
import { describeOverrun, isOverLimit } from '../../agent/servers/disk-limit.js';
import type { FakePanel } from './fake-panel.js';
import {
  command,
  connectAgent,
  isRoot,
  linesOf,
  makeDataDir,
  makePanel,
  run,
  SERVER_UID,
  type Specification,
  specify,
  statesOf,
  waitForLine,
  waitForState,
} from './harness.js';

const MEGABYTE = 1024 ** 2;
const LIMIT_MB = 5;
const FAST = { diskIntervalMs: 50 };
const TOO_MUCH = /its files take (8|9) MB, its disk limit is 5 MB\. Delete files or raise the limit\.$/;
/** Writes more than it may as soon as it is told to, and ends when it is told that. */
const HOARDER = `echo up; while read line; do
  [ "$line" = fill ] && dd if=/dev/zero of=world bs=1M count=8 2>/dev/null && echo filled
  [ "$line" = crash ] && exit 1
  [ "$line" = quit ] && exit 0
done`;

function hoarder(changes: Parameters<typeof specify>[1] = {}): Specification {
  const limits = { allocatedDiskMb: LIMIT_MB, restartPolicy: 'always' as const };
  return specify(HOARDER, { ...limits, template: { stopCommand: 'quit' }, ...changes });
}

function pathOf(dataDir: string, { serverUuid }: Specification, name: string): string {
  const [uid, gid] = isRoot ? [SERVER_UID, SERVER_UID] : [null, null];
  const log = { warn() {} } as never;
  return join(createServerDirectories({ dataDir, uid, gid, log }).pathOf(serverUuid), name);
}

async function fill(panel: FakePanel, server: Specification): Promise<void> {
  const { serverId } = server;
  panel.send({ type: 'console_input', serverId, data: 'fill' });
  await waitForLine(panel, server, 'filled');
}

async function runOver(panel: FakePanel, server: Specification) {
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  const from = panel.messages.length;
  await fill(panel, server);
  return await waitForState(panel, server, 'stopped', from);
}

test('a server that writes more than it may is asked to stop, stays down, and everybody is told why', async () => {
  const panel = await makePanel();
  await connectAgent(panel, makeDataDir(), FAST);
  const server = hoarder();
  const stopped = await runOver(panel, server);
  expect(stopped).toMatchObject({ exitCode: 0, cause: 'disk_limit', crashCount: 0 });
  expect(stopped.reason).toMatch(/^The server was stopped: /);
  expect(stopped.reason).toMatch(TOO_MUCH);
  const stopping = await waitForState(panel, server, 'stopping');
  expect(stopping).toMatchObject({ cause: 'disk_limit', reason: stopped.reason });
  await waitForLine(panel, server, `[Catalyst] ${stopped.reason}`);
  expect(statesOf(panel, server).slice(-3)).toEqual(['running', 'stopping', 'stopped']);
});

test('it cannot be started before there is room, also by another agent process, and then at once', async () => {
  const panel = await makePanel();
  const { dataDir, stop } = await connectAgent(panel, makeDataDir(), FAST);
  const server = hoarder();
  await runOver(panel, server);
  const refused = await command(panel, 'start_server', server);
  expect(refused).toMatchObject({ ok: false, code: 'server.disk_limit_exceeded' });
  expect(refused.message).toMatch(/^The server is not started: /);
  expect(refused.message).toMatch(TOO_MUCH);
  expect(linesOf(panel, server)).toContain(`[Catalyst] ${refused.message}`);
  await stop();

  const again = await connectAgent(panel, dataDir, FAST);
  const inventory = await panel.waitFor('inventory', ({ servers }) => servers[0]?.cause === 'disk_limit');
  expect(inventory.servers).toMatchObject([{ state: 'stopped', reason: refused.message }]);
  expect(await command(panel, 'start_server', server)).toMatchObject({ ok: false, code: refused.code });
  const world = pathOf(again.dataDir, server, 'world');
  expect(existsSync(world)).toBe(true);
  rmSync(world);
  const from = panel.messages.length;
  expect(await command(panel, 'start_server', server)).toMatchObject({ ok: true });
  const running = await waitForState(panel, server, 'running', from);
  expect(running.cause).toBeUndefined();
});

test('a higher limit lets it start, a lower one does not', async () => {
  const panel = await makePanel();
  await connectAgent(panel, makeDataDir(), FAST);
  const server = hoarder();
  await runOver(panel, server);
  expect(await command(panel, 'start_server', { ...server, allocatedDiskMb: 4 })).toMatchObject({
    ok: false,
  });
  const from = panel.messages.length;
  expect(await command(panel, 'start_server', { ...server, allocatedDiskMb: 20 })).toMatchObject({
    ok: true,
  });
  await waitForState(panel, server, 'running', from);
});

test('one that does not listen is killed, and the reason stays', async () => {
  const panel = await makePanel();
  await connectAgent(panel, makeDataDir(), { ...FAST, stopTimeoutMs: 300 });
  const script = `trap '' TERM INT; echo up; read line; dd if=/dev/zero of=world bs=1M count=8 2>/dev/null
    echo filled; while :; do sleep 1; done`;
  const server = specify(script, { allocatedDiskMb: LIMIT_MB, restartPolicy: 'always' });
  const stopped = await runOver(panel, server);
  expect(stopped.reason).toMatch(TOO_MUCH);
  expect(linesOf(panel, server).join('\n')).toContain('did not stop within 0.3 s and was killed');
});

test('one that crashes over its limit is not started again by itself', async () => {
  const panel = await makePanel();
  await connectAgent(panel, makeDataDir(), { ...FAST, crashBackoffMinMs: 1000 });
  const server = hoarder({ allocatedDiskMb: 20 });
  const { serverId, serverUuid } = server;
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  await fill(panel, server);
  await panel.waitFor('resource_stats', ({ diskUsageMb = 0 }) => diskUsageMb >= 8);
  panel.send({ type: 'console_input', serverId, data: 'crash' });
  await waitForState(panel, server, 'crashed');
  panel.send({ type: 'disk_limit', serverId, serverUuid, diskMb: LIMIT_MB });
  const down = await panel.waitFor('server_state_update', ({ cause }) => cause === 'disk_limit');
  expect(down.state).toBe('crashed');
  expect(down.restartInMs).toBeUndefined();
  expect(down.reason).toMatch(TOO_MUCH);
  await waitForLine(panel, server, `[Catalyst] ${down.reason}`);
});

test('a server within its limit runs on, and what it takes is told', async () => {
  const panel = await makePanel();
  await connectAgent(panel, makeDataDir(), FAST);
  const server = hoarder({ allocatedDiskMb: 20 });
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  await fill(panel, server);
  const from = panel.messages.length;
  await panel.waitFor('resource_stats', ({ diskUsageMb = 0 }) => diskUsageMb >= 8, { from });
  expect(statesOf(panel, server).at(-1)).toBe('running');
});

test('the figures in the sentence never look as if there were room', () => {
  const tell = (usedMb: number, limitMb: number) => describeOverrun('It', usedMb * MEGABYTE, limitMb);
  expect(tell(5.2 * 1024, 5 * 1024)).toContain('take 5.2 GB, its disk limit is 5.0 GB.');
  expect(tell(5121.5, 5120)).toContain('take 5122 MB, its disk limit is 5120 MB.');
  expect(tell(600.1, 512)).toContain('take 601 MB, its disk limit is 512 MB.');
  expect([isOverLimit(5 * MEGABYTE, 5), isOverLimit(6 * MEGABYTE + 1, 5), isOverLimit(2 ** 50, 0)]).toEqual([
    false,
    true,
    false,
  ]);
});
