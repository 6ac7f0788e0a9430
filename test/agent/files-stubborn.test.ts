import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, linkSync, mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test, vi } from 'vitest';
import { setAttributes } from '../../agent/files/changing/attributes.js';
import { createLeftovers } from '../../agent/files/changing/leftovers.js';
import { openPlace } from '../../agent/files/paths/descriptors.js';
import { openRegular } from '../../agent/files/paths/regular.js';
import { openAtClose } from './at-close-harness.js';
import { openFiles, owner, UUID } from './files-harness.js';
import { isRoot } from './harness.js';

/** A write lease, until it is killed: who opens the file waits, or is refused. */
const LEASE = `
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('leased', flush=True)
time.sleep(600)`;

test('a file that the game has leased is said to be in use, at once', async () => {
  const { at, read, open, operate } = openFiles();
  const child = spawn('/usr/bin/python3', ['-c', LEASE, at('d/file')]);
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const busy = { code: 'file.busy' };
  const startedAtMs = performance.now();
  await expect(read('d/file')).rejects.toMatchObject(busy);
  await expect(open('d/file', { write: true, read: true })).rejects.toMatchObject(busy);
  await expect(operate('copy', { from: 'd/file', to: 'copied' })).rejects.toMatchObject(busy);
  expect(performance.now() - startedAtMs).toBeLessThan(5000);
});

test('a file may stay open for hours without anybody asking for it, and goes on then', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const { begin, put, close, onDisk } = openAtClose();
  const handle = await begin('log');
  await put(handle, 'in the morning');
  await vi.advanceTimersByTimeAsync(8 * 3600_000);
  await put(handle, ', in the evening', 14);
  await close(handle);
  expect(onDisk().log).toBe('in the morning, in the evening');
});

test('a note that cannot be removed when it is due ends nothing', async () => {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'catalyst-state-'));
  onTestFinished(() => rmSync(stateDirectory, { recursive: true, force: true }));
  const warned: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => warned.push(line) });
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const leftovers = createLeftovers(stateDirectory, log);
  await leftovers.during(UUID, async () => {});
  // No way to remove a note, as on a disk that can only be read any more.
  rmSync(join(stateDirectory, UUID));
  mkdirSync(join(stateDirectory, UUID));
  vi.advanceTimersByTime(60_000);
  expect(warned.join()).toContain('could not be removed');
  leftovers.close();
});

test.runIf(isRoot)(
  'a file of somebody else is not opened by a hard link that is gone by the time of the look',
  async () => {
    const { at, places, operate } = openFiles();
    const changing = { code: 'file.busy' };
    const link = at('link');
    linkSync(places.secret, link);
    const place = await openPlace(link);
    unlinkSync(link);
    await expect(openRegular(place, constants.O_RDONLY, owner)).rejects.toMatchObject(changing);
    const files = { owner, account: null as never };
    await expect(setAttributes(place, { mode: 0o777 }, files)).rejects.toMatchObject(changing);
    await place.close();
    // What the agent has made for the server and not given to it yet is read all the same.
    writeFileSync(at('of-root'), 'text');
    expect(await operate('set-attributes', { path: 'of-root', mode: 0o600 })).toMatchObject({ mode: 0o600 });
  },
);
