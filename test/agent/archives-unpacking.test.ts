import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import type { WorkProgress } from '../../src/protocol/file-works.js';
import { tarOf } from '../helpers/archive-records.js';
import { eventually } from '../helpers/condition.js';
import {
  type Archives,
  childPids,
  countDescriptors,
  describe,
  expectNothingLeft,
  FORMATS,
  openArchives,
} from './archives-harness.js';

const MEGABYTE = 1024 * 1024;
const BLOCK_BYTES = MEGABYTE / 4;
const LOW_PRIORITY = 19;
const COMPRESSED = ['tar.gz', 'tar.zst'] as const;

function withoutNativeCalls() {
  const { arch } = process;
  onTestFinished(() => void Object.defineProperty(process, 'arch', { value: arch }));
  Object.defineProperty(process, 'arch', { value: 'ia32' });
}

/** So many files around the size of what is read at once that entries and their long names begin and end anywhere in it. */
function makeTree({ at }: Archives) {
  const long = 'long-'.repeat(45);
  mkdirSync(at(`world/${long}`), { recursive: true });
  for (let index = 0; index < 60; index += 1) {
    writeFileSync(at(`world/${long}/${index}-${long}`), randomBytes((index * 7919) % 40_000));
  }
  for (const more of [-513, -512, -1, 0, 1, 511, 512, 3 * BLOCK_BYTES]) {
    writeFileSync(at(`world/${BLOCK_BYTES + more}`), randomBytes(BLOCK_BYTES + more));
  }
  writeFileSync(at('world/large'), randomBytes(20 * MEGABYTE + 1));
  symlinkSync('large', at('world/link'));
}

test.each(['gnu', 'pax'])(
  'whatever comes to lie where two blocks meet is what it was: %s',
  async (format) => {
    const archives = openArchives();
    const { at, extract } = archives;
    makeTree(archives);
    linkSync(at('world/large'), at('world/second name'));
    const world = describe(at('world'));
    execFileSync('tar', [`--format=${format}`, '-cf', at('a.tar'), '-C', at('.'), 'world']);
    execFileSync('tar', [`--format=${format}`, '-I', 'zstd', '-cf', at('a.zst'), '-C', at('.'), 'world']);
    for (const name of ['a.tar', 'a.zst']) {
      await extract(`/${name}`, `/of-${name}`);
      expect(describe(at(`of-${name}/world`))).toEqual(world);
    }
    withoutNativeCalls();
    await extract('/a.zst', '/plain');
    expect(describe(at('plain/world'))).toEqual(world);
  },
);

test('more directories than are open at once, by turns', async () => {
  const { at, extract } = openArchives();
  const names = Array.from({ length: 300 }, (_, index) => `${index % 7}/${index}/inner`);
  const files = ['first', 'second'].flatMap((file) =>
    names.map((name) => ({ name: `${name}/${file}`, content: `${file} of ${name}` })),
  );
  const directory = { name: '3/3', type: '5', mode: 0o711 };
  writeFileSync(at('a'), tarOf(...files, { name: '0/0/inner/copy', type: '1', target: '5/5/inner/first' }));
  writeFileSync(at('b'), tarOf(directory, ...files.slice(3, 4)));
  const descriptors = countDescriptors();
  await extract('/a', '/new');
  for (const { name, content } of files) expect(readFileSync(at(`new/${name}`), 'utf8')).toBe(content);
  expect(readFileSync(at('new/0/0/inner/copy'), 'utf8')).toBe('first of 5/5/inner');
  await extract('/b', '/other');
  expect(statSync(at('other/3/3')).mode & 0o7777).toBe(0o711);
  expect(statSync(at('other/3/3/inner')).mode & 0o7777).toBe(0o755);
  expect(countDescriptors()).toBe(descriptors);
});

/** @param isSoFar Whether it is to be cancelled now. */
function cancelWhen(isSoFar: (progress: WorkProgress) => boolean) {
  const abort = new AbortController();
  const report = (progress: WorkProgress) => {
    if (isSoFar(progress)) abort.abort(new Error('cancelled'));
  };
  return { signal: abort.signal, report };
}

test('cancelled while a large file is copied for its second name, nothing is left', async () => {
  const archives = openArchives({ limitBytes: 1000 * MEGABYTE });
  const { at, extract } = archives;
  const second = { name: 'second', type: '1', target: 'first' };
  writeFileSync(at('a'), tarOf({ name: 'first', content: randomBytes(30 * MEGABYTE) }, second));
  const call = cancelWhen(({ doneBytes }) => doneBytes > 35 * MEGABYTE);
  const error = await expectNothingLeft(archives, () => extract('/a', '/new', call));
  expect(error).toMatchObject({ message: 'cancelled' });
});

test.each(COMPRESSED)('without native calls, nothing is left of a %s that is cancelled', async (format) => {
  const archives = openArchives({ limitBytes: 1000 * MEGABYTE });
  makeTree(archives);
  await archives.compress(['/world'], '/a', format);
  withoutNativeCalls();
  const call = cancelWhen(({ doneBytes }) => doneBytes > MEGABYTE);
  const error = await expectNothingLeft(archives, () => archives.extract('/a', '/new', call));
  expect(error).toMatchObject({ message: 'cancelled' });
});

test.each(COMPRESSED)(
  'stopped though the program that unpacks a %s gives nothing any more',
  async (format) => {
    const archives = openArchives({ limitBytes: 1000 * MEGABYTE });
    makeTree(archives);
    await archives.compress(['/world'], '/a', format);
    const abort = new AbortController();
    let [stopped, doneBytes, before] = [0, 0, 0];
    const isStanding = () => {
      const isSame = doneBytes === before;
      before = doneBytes;
      return isSame;
    };
    const report = (progress: WorkProgress) => {
      doneBytes = progress.doneBytes;
      for (const pid of stopped === 0 ? childPids() : []) {
        stopped = 1;
        process.kill(pid, 'SIGSTOP');
        void eventually('nothing more', isStanding).then(() => abort.abort(new Error('cancelled')));
      }
    };
    const call = { report, signal: abort.signal };
    const error = await expectNothingLeft(archives, () => archives.extract('/a', '/new', call));
    expect(stopped).toBe(1);
    expect(error).toMatchObject({ message: 'cancelled' });
  },
);

test.each(COMPRESSED)(
  'the program that unpacks a %s is killed: an error, and nothing is left',
  async (format) => {
    const archives = openArchives({ limitBytes: 1000 * MEGABYTE });
    makeTree(archives);
    await archives.compress(['/world'], '/a', format);
    let killed = 0;
    const report = () => {
      for (const pid of killed === 0 ? childPids() : []) {
        killed += 1;
        process.kill(pid, 'SIGKILL');
      }
    };
    const error = await expectNothingLeft(archives, () => archives.extract('/a', '/new', { report }));
    expect(killed).toBe(1);
    expect(error).toMatchObject({ code: 'archive.unreadable' });
  },
);

test.each(FORMATS)('the thread that writes what is in a %s is ended: a clear error', async (format) => {
  const archives = openArchives({ limitBytes: 1000 * MEGABYTE });
  makeTree(archives);
  await archives.compress(['/world'], '/a', format);
  const thread: Promise<Worker> = once(process, 'worker').then(([worker]) => worker);
  let ending: Promise<unknown> | null = null;
  const report = () => {
    ending ??= thread.then((worker) => worker.terminate());
  };
  const error = await expectNothingLeft(archives, () => archives.extract('/a', '/new', { report }));
  await ending;
  expect(error).toMatchObject({ code: 'file.failed', message: expect.stringContaining('ended too early') });
});

test('it is written at low priority, and everything else goes on as before', async () => {
  const archives = openArchives();
  makeTree(archives);
  await archives.compress(['/world'], '/a', 'tar');
  const priorities = () =>
    readdirSync('/proc/self/task').map((thread) => {
      const stat = readFileSync(join('/proc/self/task', thread, 'stat'), 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
    });
  let during: number[] = [];
  const report = () => {
    if (during.length === 0) during = priorities();
  };
  await archives.extract('/a', '/new', { report });
  expect(during.filter((niceness) => niceness === LOW_PRIORITY)).toHaveLength(1);
  expect(priorities()).not.toContain(LOW_PRIORITY);
});
