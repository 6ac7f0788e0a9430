import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { isErrorCode } from '../../agent/atomic-file.js';
import { toFileError } from '../../agent/files/errors.js';
import { createMeasure } from '../../agent/files/quota/measure.js';
import { openProjectQuotas, type ProjectQuotas } from '../../agent/files/quota/project-quota.js';
import { Capability } from '../../src/protocol/agent-messages.js';
import { connectAgent, linesOf, makeDataDir, makePanel, run, SERVER_UID, specify } from './harness.js';

const MEGABYTE = 1024 * 1024;
const log = pino({ level: 'silent' });
const tool = (name: string, ...words: string[]) => void execFileSync(name, words, { stdio: 'pipe' });
/** As the servers' user, whom limits hold. */
const asGame = (...words: string[]) => {
  const id = String(SERVER_UID);
  tool('setpriv', '--reuid', id, '--regid', id, '--clear-groups', ...words);
};

/** An ext4 of its own that holds projects to their limits. Throws where this machine has none. */
function mountDisk() {
  const root = mkdtempSync(join(tmpdir(), 'catalyst-projects-'));
  // The game passes through.
  chmodSync(root, 0o755);
  const [image, disk] = [join(root, 'image'), join(root, 'disk')];
  writeFileSync(image, '');
  truncateSync(image, 128 * MEGABYTE);
  mkdirSync(disk);
  const release = () => rmSync(root, { recursive: true, force: true });
  try {
    tool('mkfs.ext4', '-q', '-F', '-O', 'quota,project', '-E', 'quotatype=prjquota', image);
    tool('mount', '-o', 'loop,prjquota', image, disk);
  } catch (error) {
    release();
    throw error;
  }
  return {
    disk,
    tablePath: join(root, 'projects.json'),
    unmount() {
      tool('umount', '-l', disk);
      release();
    },
  };
}

/** Why there can be no such disk here: it is the kernel's choice and nothing that a machine for tests could install. */
function findObstacle(): string | null {
  try {
    mountDisk().unmount();
    return null;
  } catch (error) {
    // A tool that says no, or is not there; anything else is a mistake of ours.
    if (!(error instanceof Error) || !('status' in error || isErrorCode(error, 'ENOENT'))) throw error;
    return error.message.split('\n')[1] ?? error.message;
  }
}

const obstacle = findObstacle();

async function openDisk() {
  const mounted = mountDisk();
  onTestFinished(mounted.unmount);
  const { disk, tablePath } = mounted;
  const open = async (): Promise<ProjectQuotas> => {
    const quotas = await openProjectQuotas({ directory: disk, tablePath, log });
    if (quotas === null) throw new Error('There are no project quotas.');
    return quotas;
  };
  return { ...mounted, open, quotas: await open() };
}

function makeServer(disk: string, name: string): string {
  const path = join(disk, name);
  mkdirSync(join(path, 'world/region'), { recursive: true });
  writeFileSync(join(path, 'world/region/r.mca'), Buffer.alloc(3 * MEGABYTE, 1));
  tool('chown', '-R', `${SERVER_UID}:${SERVER_UID}`, path);
  return path;
}

test('where the file system has none, the log says so and servers are looked at', async () => {
  const lines: string[] = [];
  const options = { directory: '/proc', tablePath: '/nonexistent/projects.json' };
  expect(
    await openProjectQuotas({ ...options, log: pino({}, { write: (line) => void lines.push(line) }) }),
  ).toBeNull();
  expect(lines.join('')).toContain('no project quotas here');
});

describe.skipIf(obstacle !== null)(`project quotas (${obstacle ?? 'on an ext4 of the test’s own'})`, () => {
  test('what was there counts, what comes counts, and beyond the limit the kernel refuses the game', async () => {
    const { disk, quotas } = await openDisk();
    const server = makeServer(disk, 'a');
    expect(await quotas.usedBytes('a', server)).toBeNull();
    await quotas.apply('a', server, 5 * MEGABYTE);
    expect(await quotas.usedBytes('a', server)).toBeGreaterThanOrEqual(3 * MEGABYTE);
    const fill = () => asGame('dd', 'if=/dev/zero', `of=${server}/world/more`, 'bs=1M', 'count=4');
    expect(fill).toThrow(/quota exceeded/i);
    expect(await quotas.usedBytes('a', server)).toBeLessThanOrEqual(5 * MEGABYTE);
    await quotas.apply('a', server, 20 * MEGABYTE);
    fill();
    await quotas.apply('a', server, null);
    fill();
  });

  test('servers with names that begin alike, and what links lead to, are counted apart', async () => {
    const { disk, quotas } = await openDisk();
    const [first, second, outside] = ['server', 'server-2', 'outside'].map((name) => makeServer(disk, name));
    if (first === undefined || second === undefined || outside === undefined) throw new Error();
    symlinkSync('../outside', join(first, 'link'));
    symlinkSync('../../outside/world', join(first, 'world/link'));
    await quotas.apply('first', first, 5 * MEGABYTE);
    await quotas.apply('second', second, 5 * MEGABYTE);
    asGame('dd', 'if=/dev/zero', `of=${outside}/more`, 'bs=1M', 'count=10');
    asGame('dd', 'if=/dev/zero', `of=${second}/more`, 'bs=1M', 'count=1');
    expect(await quotas.usedBytes('first', first)).toBeLessThan(3.2 * MEGABYTE);
    expect(await quotas.usedBytes('second', second)).toBeGreaterThanOrEqual(4 * MEGABYTE);
    expect(await quotas.usedBytes('first', outside)).toBeNull();
  });

  test('numbers are kept by the next agent process, never given twice, and free again when the server is gone', async () => {
    const { disk, open, quotas, tablePath } = await openDisk();
    const paths = ['a', 'b'].map((name) => makeServer(disk, name));
    for (const [index, path] of paths.entries()) await quotas.apply(`server-${index}`, path, MEGABYTE * 9);
    const table = () => JSON.parse(readFileSync(tablePath, 'utf8'));
    const before = table();
    expect(new Set(Object.values(before)).size).toBe(2);
    const next = await open();
    expect(await next.usedBytes('server-1', paths[1] ?? '')).toBeGreaterThan(0);
    // Another agent on the same disk knows nothing of the table.
    rmSync(tablePath);
    const other = await open();
    const third = makeServer(disk, 'c');
    await other.apply('server-2', third, MEGABYTE * 9);
    expect(Object.values(before)).not.toContain(table()['server-2']);
    other.forget('server-2');
    expect(table()).toEqual({});
  });

  test('files that a game takes out of the count are found by walking', async () => {
    const { disk, quotas } = await openDisk();
    const server = makeServer(disk, 'a');
    await quotas.apply('a', server, 5 * MEGABYTE);
    asGame('chattr', '-p', '0', join(server, 'world/region/r.mca'));
    expect(await quotas.usedBytes('a', server)).toBeLessThan(MEGABYTE);
    const measure = createMeasure({ projects: quotas, walkIntervalMs: 0 });
    await measure('a', server);
    expect(await measure('a', server)).toBeGreaterThanOrEqual(3 * MEGABYTE);
    const trusting = createMeasure({ projects: quotas });
    await trusting('a', server);
    expect(await trusting('a', server)).toBeLessThan(MEGABYTE);
  });

  test('an agent on such a disk says so to the panel, and its games are held', async () => {
    const { disk } = await openDisk();
    const panel = await makePanel();
    const dataDir = join(disk, 'data');
    await connectAgent(panel, makeDataDir(dataDir));
    const { capabilities } = await panel.waitFor('node_handshake');
    expect(capabilities).toContain(Capability.projectQuotas);
    const script = 'dd if=/dev/zero of=world bs=1M count=9 2>&1; echo tried; sleep 60';
    const server = specify(script, { allocatedDiskMb: 5 });
    await run(panel, server);
    await panel.until('it has tried', () => linesOf(panel, server).includes('tried'));
    expect(linesOf(panel, server).join('\n')).toMatch(/quota exceeded/i);
    const { diskUsageMb } = await panel.waitFor('resource_stats', (stats) => stats.diskUsageMb !== undefined);
    expect(diskUsageMb).toBeLessThanOrEqual(5);
  });
});

test('an agent elsewhere does not say so', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const { capabilities } = await panel.waitFor('node_handshake');
  expect(capabilities).not.toContain(Capability.projectQuotas);
});

test('a quota of the disk is no full disk', () => {
  const error = toFileError(Object.assign(new Error('EDQUOT'), { code: 'EDQUOT' }));
  expect(error).toMatchObject({ code: 'file.quota_exceeded' });
});
