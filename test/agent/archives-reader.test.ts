import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { startReader } from '../../agent/files/archives/reader/reader.js';
import {
  type Archives,
  cancelAfter,
  childPids,
  countDescriptors,
  describe,
  expectNothingLeft,
  FORMATS,
  openArchives,
} from './archives-harness.js';

const MEGABYTE = 1024 * 1024;
const LOW_PRIORITY = 19;

/** Of every size that is treated in its own way. */
function makeTree({ at }: Archives) {
  mkdirSync(at('world/inner/empty'), { recursive: true });
  const sizes = [0, 1, 511, 512, 513, 16_383, 16_384, 75_000, MEGABYTE, 3 * MEGABYTE + 1];
  for (const size of sizes) writeFileSync(at(`world/${size}`), randomBytes(size));
  for (let index = 0; index < 300; index += 1)
    writeFileSync(at(`world/inner/${index}`), randomBytes(index * 97));
  writeFileSync(at('world/inner/large'), randomBytes(20 * MEGABYTE));
  symlinkSync('../75000', at('world/inner/link'));
}

/** As on an agent that came as one file. */
function withoutNativeCalls() {
  const { arch } = process;
  onTestFinished(() => void Object.defineProperty(process, 'arch', { value: arch }));
  Object.defineProperty(process, 'arch', { value: 'ia32' });
}

test.each(FORMATS)('with and without native calls a %s is the same in the end', async (format) => {
  const archives = openArchives();
  const { at, compress, extract } = archives;
  makeTree(archives);
  // A name need not be text but in a zip.
  const name = Buffer.from([0xff, 0xfe, 0x41]);
  if (format !== 'zip') writeFileSync(Buffer.concat([Buffer.from(`${at('world')}/`), name]), 'bytes');
  const descriptors = countDescriptors();
  const { entries } = await compress(['/world'], '/native', format);
  withoutNativeCalls();
  expect(await compress(['/world'], '/plain', format)).toMatchObject({ entries });
  expect(countDescriptors()).toBe(descriptors);
  const world = describe(at('world'));
  for (const name of ['native', 'plain']) {
    await extract(`/${name}`, `/${name}-unpacked`);
    expect(describe(at(`${name}-unpacked/world`))).toEqual(world);
  }
  expect(world).toHaveLength(entries - 1);
});

test.each(FORMATS)('without native calls, nothing is left of a %s that is cancelled', async (format) => {
  const archives = openArchives({ limitBytes: 1000 * MEGABYTE });
  makeTree(archives);
  withoutNativeCalls();
  const work = () => archives.compress(['/world'], '/new/a', format, cancelAfter(1));
  expect(await expectNothingLeft(archives, work)).toMatchObject({ message: 'cancelled' });
});

test.each(['tar.gz', 'tar.zst'] as const)(
  'the program that makes a %s is killed: a clear error',
  async (format) => {
    const archives = openArchives({ limitBytes: 1000 * MEGABYTE });
    makeTree(archives);
    let killed = 0;
    const report = () => {
      for (const pid of killed === 0 ? childPids() : []) {
        killed += 1;
        process.kill(pid, 'SIGKILL');
      }
    };
    const error = await expectNothingLeft(archives, () =>
      archives.compress(['/world'], '/new/a', format, { report }),
    );
    expect(killed).toBe(1);
    expect(error).toMatchObject({ code: 'file.failed', message: expect.stringContaining('has been ended') });
  },
);

/** The next thread that this process starts. */
async function nextThread(): Promise<Worker> {
  const [worker] = await once(process, 'worker');
  return worker;
}

test.each(FORMATS)('the thread that reads for a %s is ended: a clear error', async (format) => {
  const archives = openArchives({ limitBytes: 1000 * MEGABYTE });
  makeTree(archives);
  const thread = nextThread();
  let ending: Promise<unknown> | null = null;
  const report = () => {
    ending ??= thread.then((worker) => worker.terminate());
  };
  const error = await expectNothingLeft(archives, async () => {
    await archives.compress(['/world'], '/new/a', format, { report });
  });
  await ending;
  expect(error).toMatchObject({ code: 'file.failed', message: expect.stringContaining('ended too early') });
});

test('it is read at low priority, and everything else goes on as before', async () => {
  const archives = openArchives();
  makeTree(archives);
  const priorities = () =>
    readdirSync('/proc/self/task').map((thread) => {
      const stat = readFileSync(join('/proc/self/task', thread, 'stat'), 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
    });
  const before = priorities();
  let during: number[] = [];
  const report = () => {
    if (during.length === 0) during = priorities();
  };
  await archives.compress(['/world'], '/a', 'tar', { report });
  expect(during.filter((niceness) => niceness === LOW_PRIORITY)).toHaveLength(1);
  expect(before).not.toContain(LOW_PRIORITY);
  expect(priorities()).not.toContain(LOW_PRIORITY);
});

test('a file that is cut while it goes through the pipe is filled up with zeros', async () => {
  const archives = openArchives();
  const { at, compress, extract } = archives;
  mkdirSync(at('world'));
  writeFileSync(at('world/large'), randomBytes(40 * MEGABYTE));
  writeFileSync(at('world/small'), 'whole');
  const report = () => truncateSync(at('world/large'), MEGABYTE);
  await compress(['/world'], '/a', 'tar.zst', { report });
  await extract('/a', '/new');
  const unpacked = readFileSync(at('new/world/large'));
  expect(unpacked).toHaveLength(40 * MEGABYTE);
  expect(unpacked.subarray(0, MEGABYTE).equals(readFileSync(at('world/large')))).toBe(true);
  expect(unpacked.at(-1)).toBe(0);
  expect(readFileSync(at('new/world/small'), 'utf8')).toBe('whole');
});

test('a block that is dealt with after the reader was told to end does not keep it', async () => {
  const { at } = openArchives();
  const sizeBytes = 30 * MEGABYTE;
  writeFileSync(at('large'), randomBytes(sizeBytes));
  const reader = startReader(null);
  const looked = await reader.look(Buffer.from(at('large')), Buffer.from('large'));
  reader.copy([{ place: looked?.place ?? null, sizeBytes, headBytes: 0, zeroBytes: 0, path: 'large' }], []);
  const blocks = reader.blocks();
  expect((await blocks.next()).value).toHaveLength(MEGABYTE);
  const closed = reader.close();
  // By whoever takes them, and has not heard of the end yet.
  await Promise.allSettled([blocks.next(), closed]);
});
