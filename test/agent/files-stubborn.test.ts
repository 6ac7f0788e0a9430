import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createLeftovers } from '../../agent/files/leftovers.js';
import { openFiles, UUID } from './files-harness.js';

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
