import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import type { WorkProgress } from '../../src/protocol/file-works.js';
import { tarOf, zipOf } from '../helpers/archive-records.js';
import { describe, FORMATS, openArchives } from './archives-harness.js';

const run = (tool: string, ...words: string[]) => void execFileSync(tool, words);
const list = (archive: string) =>
  execFileSync('tar', ['-tf', archive], { encoding: 'utf8' }).trim().split('\n').sort();

test('what is no file, directory or harmless link, what is ours, and the archive itself are left out', async () => {
  const { at, compress, places } = openArchives();
  run('mkfifo', at('d/fifo'));
  symlinkSync(places.secret, at('d/absolute'));
  symlinkSync('../../outside', at('d/climbing'));
  symlinkSync('file', at('d/link'));
  writeFileSync(at('d/.catalyst-0123456789ab-1.part'), 'half');
  mkdirSync(at('d/.catalyst-0123456789ab-2.unpacking'));
  writeFileSync(at('d/.catalyst-notes.part'), 'not ours');
  chmodSync(at('d/file'), 0o4755);
  await compress(['/d', '/d/file', '/d'], '/d/a.tar', 'tar');
  const expected = ['d/', 'd/.catalyst-notes.part', 'd/file', 'd/link'];
  expect(list(at('d/a.tar'))).toEqual(expected);
  expect(execFileSync('tar', ['-tvf', at('d/a.tar'), 'd/file'], { encoding: 'utf8' })).toMatch(/^-rwxr-xr-x/);
  const again = { code: 'file.exists' };
  await expect(compress(['/'], '/d/a.tar', 'tar')).rejects.toMatchObject(again);
  await compress(['/'], '/d/a.tar', 'tar', { replace: true });
  expect(list(at('d/a.tar'))).toEqual(expected);
  await expect(compress(['/'], '/d', 'tar', { replace: true })).rejects.toMatchObject({
    code: 'file.is_directory',
  });
});

test('a link that is named itself is packed as a link, also behind another', async () => {
  const { at, compress } = openArchives();
  symlinkSync('file', at('d/link'));
  symlinkSync('d', at('way'));
  await compress(['/d/link', '/way/file'], '/a', 'tar');
  expect(list(at('a'))).toEqual(['d/link', 'way/file']);
  expect(execFileSync('tar', ['-xOf', at('a'), 'way/file'], { encoding: 'utf8' })).toBe('inside');
});

test.each(FORMATS)('files that grow and shrink meanwhile do not break a %s', async (format) => {
  const { at, compress, extract } = openArchives();
  mkdirSync(at('logs'));
  const names = Array.from({ length: 200 }, (_, index) => at(`logs/${index}`));
  for (const name of names) writeFileSync(name, randomBytes(20_000));
  writeFileSync(at('logs/large'), randomBytes(4_000_000));
  let turn = 0;
  const change = () => {
    turn += 1;
    for (const [index, name] of [...names, at('logs/large')].entries()) {
      if ((index + turn) % 3 === 0) appendFileSync(name, 'x'.repeat(5000));
      else if ((index + turn) % 3 === 1) truncateSync(name, 100);
    }
  };
  const changing = setInterval(change);
  onTestFinished(() => clearInterval(changing));
  const { entries } = await compress(['/logs'], '/a', format, { report: change });
  clearInterval(changing);
  expect(turn).toBeGreaterThan(2);
  expect((await extract('/a', '/out')).entries).toBe(entries);
  expect(readdirSync(at('out/logs'))).toHaveLength(201);
});

const BOTH = [
  ['tar', tarOf({ name: 'd/file', content: 'new' }, { name: 'd/more/x', content: 'new' }, { name: 'y' })],
  ['zip', zipOf([{ name: 'd/file', content: 'new' }, { name: 'd/more/x', content: 'new' }, { name: 'y' }])],
] as const;

test.each(BOTH)('what is there already stays, files of the same names are replaced: %s', async (_, bytes) => {
  const { at, extract, usedBytes } = openArchives({ limitBytes: 50_000_000 });
  writeFileSync(at('d/kept'), 'kept');
  linkSync(at('d/file'), at('d/second'));
  writeFileSync(at('y'), randomBytes(20_000_000));
  writeFileSync(at('a'), bytes);
  const used = await usedBytes();
  await extract('/a', '/');
  expect(readFileSync(at('d/file'), 'utf8')).toBe('new');
  expect(readFileSync(at('d/second'), 'utf8')).toBe('inside');
  expect(readdirSync(at('d')).sort()).toEqual(['file', 'kept', 'more', 'second']);
  expect(statSync(at('y')).size).toBe(0);
  expect(await usedBytes()).toBeLessThan(used - 19_000_000);
});

const IN_THE_WAY: [string, (at: (path: string) => string) => void, string][] = [
  ['a file where a directory is to come', (at) => writeFileSync(at('t/more'), ''), '"/t/more"'],
  ['a directory where a file is to come', (at) => mkdirSync(at('t/zfile')), '"/t/zfile"'],
  ['a link where a directory is to come', (at) => symlinkSync('../d', at('t/more')), '"/t/more"'],
];

test.each(IN_THE_WAY)('%s: refused before anything is moved', async (_, prepare, says) => {
  const { at, places, extract } = openArchives();
  mkdirSync(at('t'));
  writeFileSync(at('t/afile'), 'old');
  prepare(at);
  const entries = [{ name: 't/afile', content: 'new' }, { name: 't/more/x' }, { name: 't/zfile' }];
  writeFileSync(at('a'), tarOf(...entries));
  const before = describe(places.server);
  const message = expect.stringContaining(says);
  await expect(extract('/a', '/')).rejects.toMatchObject({ code: 'file.exists', message });
  expect(describe(places.server)).toEqual(before);
});

test('a way that is no directory, or leads out, is refused', async () => {
  const { at, places, extract } = openArchives();
  writeFileSync(at('a'), tarOf({ name: 'x' }));
  symlinkSync(places.outside, at('out'));
  symlinkSync('d', at('in'));
  await expect(extract('/a', '/d/file')).rejects.toMatchObject({ code: 'file.not_directory' });
  await expect(extract('/a', '/d/file/x')).rejects.toMatchObject({ code: 'file.not_directory' });
  await expect(extract('/a', '/out/x')).rejects.toMatchObject({ code: 'file.outside' });
  await expect(extract('/d', '/')).rejects.toMatchObject({ code: 'file.is_directory' });
  await expect(extract('/none', '/')).rejects.toMatchObject({ code: 'file.not_found' });
  await extract('/a', '/in/new');
  expect(readdirSync(at('d/new'))).toEqual(['x']);
});

test('hard links become files, links are made and never lead out, bits of directories are dropped', async () => {
  const { at, extract } = openArchives();
  const archive = tarOf(
    { name: './', type: '5' },
    { name: 'dir/', type: '5', mode: 0o3777 },
    { name: 'dir/a', content: 'content', mode: 0o640 },
    { name: 'dir/b', type: '1', target: 'dir/a', mode: 0o640 },
    { name: 'dir/up', type: '2', target: '../dir/./a' },
    { name: '.catalyst-0123456789ab-1.part', content: 'of another panel' },
  );
  writeFileSync(at('a'), archive);
  expect(await extract('/a', '/new')).toEqual({ entries: 4, bytes: 14 });
  expect(readdirSync(at('new'))).toEqual(['dir']);
  expect(statSync(at('new/dir')).mode & 0o7777).toBe(0o777);
  expect(statSync(at('new/dir/b'))).toMatchObject({ nlink: 1, size: 7 });
  expect(readlinkSync(at('new/dir/up'))).toBe('../dir/./a');
});

test('progress is told, with the total once it is known', async () => {
  const { at, compress, extract } = openArchives();
  // Names that only look like those of our own.
  for (let index = 0; index < 50; index += 1) writeFileSync(at(`d/.catalyst-${index}`), randomBytes(200_000));
  const told: WorkProgress[] = [];
  const report = (progress: WorkProgress) => told.push(progress);
  await compress(['/d'], '/a.zip', 'zip', { report });
  const end = { doneBytes: 10_000_006, totalBytes: 10_000_006, doneEntries: 52 };
  expect(told.length).toBeGreaterThan(2);
  expect([null, 10_000_006]).toContain(told[0]?.totalBytes);
  expect(told.at(-1)).toEqual(end);
  told.length = 0;
  await extract('/a.zip', '/new', { report });
  expect(told[0]?.totalBytes).toBe(10_000_006);
  expect(told.at(-1)).toEqual(end);
});

test('without the programs gzip is done all the same, and zstd is refused with what to do', async () => {
  const { at, compress, extract } = openArchives();
  writeFileSync(at('d/large'), randomBytes(3_000_000));
  await compress(['/d'], '/a.tar.zst', 'tar.zst');
  const path = process.env.PATH;
  onTestFinished(() => {
    process.env.PATH = path;
  });
  process.env.PATH = '/nowhere';
  await compress(['/d'], '/a.tar.gz', 'tar.gz');
  await extract('/a.tar.gz', '/new');
  expect(describe(at('new/d'))).toEqual(describe(at('d')));
  for (const [name, change] of [
    ['cut off', (bytes: Buffer) => bytes.subarray(0, -5)],
    ['damaged', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('evil')])],
  ] as const) {
    writeFileSync(at('b'), change(readFileSync(at('a.tar.gz'))));
    const message = expect.stringContaining(name);
    await expect(extract('/b', '/newer')).rejects.toMatchObject({ code: 'archive.unreadable', message });
  }
  const unsupported = { code: 'archive.unsupported', message: expect.stringContaining('"zstd"') };
  await expect(compress(['/d'], '/b.tar.zst', 'tar.zst')).rejects.toMatchObject(unsupported);
  await expect(extract('/a.tar.zst', '/newer')).rejects.toMatchObject(unsupported);
  expect(readdirSync(at('.')).sort()).toEqual(['a.tar.gz', 'a.tar.zst', 'b', 'd', 'new']);
});
