import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { tarOf, zipOf } from '../helpers/archive-records.js';
import { makePlaces } from '../helpers/path-tricks.js';
import { type Archives, cancelAfter, expectNothingLeft, FORMATS, openArchives } from './archives-harness.js';
import { isRoot } from './harness.js';

const MEGABYTE = 1024 * 1024;
const run = (tool: string, ...words: string[]) => void execFileSync(tool, words);

/** Large enough that there is a middle. */
function makeTree({ at }: Archives) {
  mkdirSync(at('world/region'), { recursive: true });
  for (let index = 0; index < 60; index += 1) {
    writeFileSync(at(`world/region/${index}`), randomBytes(200_000));
  }
  writeFileSync(at('world/large'), randomBytes(8 * MEGABYTE));
}

test.each(FORMATS)('cancelled in the middle, nothing is left of %s in either direction', async (format) => {
  const archives = openArchives({ limitBytes: 1000 * MEGABYTE });
  const { compress, extract } = archives;
  makeTree(archives);
  await compress(['/world'], '/a', format);
  for (const doneEntries of [1, 30, 62]) {
    const packing = () => compress(['/'], '/new/b', format, cancelAfter(doneEntries));
    expect(await expectNothingLeft(archives, packing)).toMatchObject({ message: 'cancelled' });
    const unpacking = () => extract('/a', '/new/place', cancelAfter(doneEntries));
    expect(await expectNothingLeft(archives, unpacking)).toMatchObject({ message: 'cancelled' });
  }
  const { signal } = cancelAfter(0);
  const aborted = AbortSignal.abort(new Error('cancelled'));
  expect(signal.aborted).toBe(false);
  await expectNothingLeft(archives, () => compress(['/'], '/b', format, { signal: aborted }));
  await expectNothingLeft(archives, () => extract('/a', '/new', { signal: aborted }));
});

test.each(FORMATS)(
  'over the disk limit in the middle, nothing is left of %s in either direction',
  async (format) => {
    const archives = openArchives({ limitBytes: 45 * MEGABYTE });
    const { compress, extract } = archives;
    makeTree(archives);
    await compress(['/world'], '/a', format);
    expect(await expectNothingLeft(archives, () => compress(['/'], '/b', format))).toMatchObject({
      code: 'file.quota_exceeded',
    });
    expect(await expectNothingLeft(archives, () => extract('/a', '/new/place'))).toMatchObject({
      code: 'file.quota_exceeded',
    });
  },
);

test.runIf(isRoot)('on a full disk the error says so, and nothing is left', async () => {
  const places = makePlaces();
  run('mount', '-t', 'tmpfs', '-o', 'size=48m', 'none', places.server);
  mkdirSync(join(places.server, 'd'));
  const archives = openArchives({ places });
  onTestFinished(() => run('umount', places.server));
  makeTree(archives);
  await archives.compress(['/world'], '/a', 'tar.gz');
  const full = { code: 'file.no_space' };
  for (const format of FORMATS) {
    const packing = () => archives.compress(['/'], '/b', format);
    expect(await expectNothingLeft(archives, packing)).toMatchObject(full);
  }
  expect(await expectNothingLeft(archives, () => archives.extract('/a', '/new'))).toMatchObject(full);
});

const ZEROS = Buffer.alloc(120 * MEGABYTE);
const BOMBS: [string, () => Buffer][] = [
  ['tar.gz', () => gzipSync(tarOf({ name: 'bomb', content: ZEROS }), { level: 9 })],
  ['zip', () => zipOf([{ name: 'bomb', content: ZEROS }])],
  ['tar.zst', () => execFileSync('zstd', ['-q', '-c'], { input: tarOf({ name: 'bomb', content: ZEROS }) })],
];

test.each(BOMBS)('a bomb is refused by what it says, and by the disk limit: %s', async (_, bytes) => {
  const archives = openArchives({ limitBytes: 100 * MEGABYTE });
  const { at, extract } = archives;
  writeFileSync(at('a'), bytes());
  expect(statSync(at('a')).size).toBeLessThan(MEGABYTE);
  const error = await expectNothingLeft(archives, () => extract('/a', '/'));
  expect(error).toMatchObject({
    code: expect.stringMatching(/^(archive.hostile_entry|file.quota_exceeded)$/),
  });
});

test('an error about one of many files says which', async () => {
  const archives = openArchives();
  const { at, compress } = archives;
  makeTree(archives);
  const missing = await expectNothingLeft(archives, () => compress(['/world', '/wrold'], '/a', 'tar'));
  expect(missing).toMatchObject({ code: 'file.not_found', message: expect.stringContaining('"/wrold"') });
  await expectNothingLeft(archives, () => compress(['/world/../..'], '/a', 'tar'));
  await expectNothingLeft(archives, () => compress(['/world'], '/world', 'tar'));
  await expectNothingLeft(archives, () => compress(['/world'], '/new/', 'tar'));
  if (isRoot) return;
  chmodSync(at('world/region/7'), 0);
  const denied = await expectNothingLeft(archives, () => compress(['/world'], '/a', 'tar'));
  expect(denied).toMatchObject({
    code: 'file.denied',
    message: expect.stringContaining('"/world/region/7"'),
  });
});
