import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  command,
  connectAgent,
  eventually,
  isAlive,
  linesOf,
  makePanel,
  outputOf,
  specify,
  statesOf,
  waitForLine,
  waitForState,
} from './harness.js';

test('the install script runs in the directory of the server, with its output on the console', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel);
  const server = specify('', {
    template: { installScript: 'echo "fetching $WHAT"; echo careful >&2; echo data > file' },
    environment: { WHAT: 'game' },
  });
  expect((await command(panel, 'install_server', server)).ok).toBe(true);
  expect(outputOf(panel, server).sort()).toEqual(['careful', 'fetching game']);
  expect(linesOf(panel, server).at(-1)).toBe('[Catalyst] The server is installed');
  expect(existsSync(join(dataDir, 'servers', server.serverUuid, 'file'))).toBe(true);
  expect(statesOf(panel, server)).toEqual(['installing', 'stopped']);
  await panel.waitFor('install_progress', ({ phase, percent }) => phase === 'done' && percent === 100);
});

test('a script that fails leaves the server stopped and not installed, with its code as the reason', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('true', { template: { installScript: 'echo oops; exit 2' } });
  const result = await command(panel, 'install_server', server);
  expect(result).toMatchObject({ ok: false, code: 'install.failed' });
  expect(result.message).toBe('The install script failed with code 2.');
  const stopped = await waitForState(panel, server, 'stopped');
  expect(stopped.reason).toBe('The install script failed with code 2.');
  expect(linesOf(panel, server)).toEqual([
    '[Catalyst] Installing the server',
    'oops',
    '[Catalyst] The install script failed with code 2.',
  ]);
  expect(await command(panel, 'start_server', server)).toMatchObject({ code: 'server.not_installed' });
});

test('kill aborts an installation, and nothing of it runs on', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('true', { template: { installScript: 'sleep 600 & echo $!; wait' } });
  const installing = command(panel, 'install_server', server);
  await panel.until('the script has told its child', () => outputOf(panel, server).length === 1);
  const pid = Number(outputOf(panel, server)[0]);
  expect(await command(panel, 'start_server', server)).toMatchObject({ ok: false, code: 'server.busy' });
  expect((await command(panel, 'kill_server', server)).ok).toBe(true);
  expect(await installing).toMatchObject({ ok: false, code: 'command.cancelled' });
  await eventually('the child is dead', () => !isAlive(pid));
  expect(statesOf(panel, server)).toEqual(['installing', 'stopped']);
});

test('an installation that takes too long is ended', async () => {
  const panel = await makePanel();
  await connectAgent(panel, undefined, { installTimeoutMs: 300 });
  const server = specify('true', { template: { installScript: 'echo begun; sleep 600' } });
  expect(await command(panel, 'install_server', server)).toMatchObject({
    ok: false,
    code: 'install.timeout',
  });
  expect(statesOf(panel, server).at(-1)).toBe('stopped');
});

test('delete during an installation aborts it and removes everything', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel);
  const server = specify('true', { template: { installScript: 'echo begun; exec sleep 600' } });
  const installing = command(panel, 'install_server', server);
  await waitForLine(panel, server, 'begun');
  expect((await command(panel, 'delete_server', server)).ok).toBe(true);
  expect((await installing).ok).toBe(false);
  expect(existsSync(join(dataDir, 'servers', server.serverUuid))).toBe(false);
});
