import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { toNameFilter } from '../../agent/files/listing/name-pattern.js';
import { createSortedRuns } from '../../agent/files/listing/sorted-runs.js';
import { FileOperations } from '../../src/protocol/data-plane.js';
import { openFiles, UUID } from './files-harness.js';

test.each([
  ['config', ['config.yml', 'My-CONFIG', 'config'], ['confi', 'konfig']],
  ['C', ['config.yml', 'Abc'], ['xyz']],
  ['.', ['a.b', '.hidden'], ['ab']],
  ['[a-z]+', ['x[a-z]+y'], ['abc']],
  ['$&\\', ['a$&\\b'], ['a']],
  ['*.jar', ['a.jar', '.jar', 'A.JAR', 'a.b.jar'], ['a.jar.old', 'jar', 'ajar']],
  ['world_?', ['world_1', 'world_ä', 'WORLD_😀'], ['world_', 'world_10', 'my world_1']],
  ['*a*b*c*', ['abc', 'xaybzc', 'AaBbCc'], ['acb', 'ab']],
  ['??', ['ab', '😀😀'], ['a', 'abc']],
  ['*', ['', 'anything'], []],
  ['**?**', ['a'], ['']],
  ['a?*', ['ab', 'abc'], ['a', 'ba']],
  ['straße', ['STRAßE'], ['strasse']],
  ['\u00e9', ['caf\u00e9', 'cafe\u0301', 'CAFE\u0301'], ['cafe']],
  ['*a', ['ba', 'aa', 'aba'], ['ab']],
  ['a*a', ['aa', 'aba'], ['a']],
])('%s finds names and leaves others out', (text, wanted, others) => {
  const isWanted = toNameFilter(text);
  expect(wanted.filter((name) => !isWanted(name))).toEqual([]);
  expect(others.filter(isWanted)).toEqual([]);
});

test('a pattern made to take long does not', () => {
  const isWanted = toNameFilter(`${'*a'.repeat(127)}b`);
  const name = 'a'.repeat(255);
  const startedAtMs = performance.now();
  for (let count = 0; count < 100; count += 1) isWanted(name);
  expect(performance.now() - startedAtMs).toBeLessThan(5000);
});

/** Of a few directories that two ways lead to. */
function openTree() {
  const files = openFiles();
  const { at, places } = files;
  for (const path of ['plugins/deep', 'plugins-old', 'b']) mkdirSync(at(path), { recursive: true });
  const names = [
    'plugins/b.yml',
    'plugins/deep/A.yml',
    'plugins/a.yml',
    'plugins-old/x.YML',
    'z.yml',
    'b/no',
  ];
  for (const name of names) writeFileSync(at(name), 'content');
  symlinkSync('plugins', at('linked'));
  symlinkSync(places.outside, at('outside.yml'));
  writeFileSync(at('.catalyst-upload-11111111-1111-4111-8111-111111111111'), '');
  writeFileSync(at('plugins/.catalyst-0123456789ab-1.part'), '');
  const search = (text: string, { path = '/', limit = 100, signal = files.call.signal } = {}) =>
    files.service.operate(UUID, 'search', { path, text, limit }, { ...files.call, signal });
  return { ...files, search };
}

test('files and directories are found in the order of names, links are found but not followed', async () => {
  const { search } = openTree();
  const found = await search('*.yml');
  expect(FileOperations.search.output.parse(found)).toEqual(found);
  expect(found.isComplete).toBe(true);
  expect(found.matches.map(({ path, kind }) => [path, kind])).toEqual([
    ['/outside.yml', 'link'],
    ['/plugins/a.yml', 'file'],
    ['/plugins/b.yml', 'file'],
    ['/plugins/deep/A.yml', 'file'],
    ['/plugins-old/x.YML', 'file'],
    ['/z.yml', 'file'],
  ]);
  expect(found.matches[1]).toMatchObject({ name: 'a.yml', sizeBytes: 7, mode: 0o644 });
  const directories = await search('PLUGIN');
  expect(directories.matches.map(({ path }) => path)).toEqual(['/plugins', '/plugins-old']);
  expect((await search('catalyst')).matches).toEqual([]);
});

test('a search begins where it is told to, also by way of a link inside', async () => {
  const { search } = openTree();
  const paths = async (path: string) => (await search('.yml', { path })).matches.map((match) => match.path);
  expect(await paths('plugins//deep/')).toEqual(['/plugins/deep/A.yml']);
  expect(await paths('linked')).toEqual(['/linked/a.yml', '/linked/b.yml', '/linked/deep/A.yml']);
  await expect(search('x', { path: 'outside.yml' })).rejects.toMatchObject({ code: 'file.outside' });
  await expect(search('x', { path: 'z.yml' })).rejects.toMatchObject({ code: 'file.not_directory' });
  await expect(search('x', { path: 'none' })).rejects.toMatchObject({ code: 'file.not_found' });
});

test('the limit cuts the list where it is, and says so only when something is missing', async () => {
  const { search } = openTree();
  const { matches: all } = await search('.yml');
  for (const limit of [1, 3, all.length - 1]) {
    expect(await search('.yml', { limit })).toEqual({ matches: all.slice(0, limit), isComplete: false });
  }
  expect(await search('.yml', { limit: all.length })).toEqual({ matches: all, isComplete: true });
});

test('what is being written under a name is found by it', async () => {
  const { search, open } = openTree();
  await open('plugins/coming.yml', { write: true, create: true, truncate: true, atClose: true });
  const { matches } = await search('coming');
  expect(matches).toEqual([expect.objectContaining({ path: '/plugins/coming.yml', name: 'coming.yml' })]);
});

test('what was added in no order is taken in order, however much there is', () => {
  const numbers = Array.from({ length: 10_000 }, (_, index) => (index * 7919) % 9973);
  const runs = createSortedRuns<number>((one, other) => one < other);
  for (const number of numbers) runs.add(number);
  expect([...runs.inOrder()]).toEqual(numbers.sort((one, other) => one - other));
});

test('names that are no text are found, and what is too deep to be looked at is said to be missing', async () => {
  const { search, at } = openTree();
  writeFileSync(Buffer.concat([Buffer.from(at('no-text-')), Buffer.from([0xff])]), '');
  const { matches, isComplete } = await search('no-text');
  expect([matches, isComplete]).toEqual([[expect.objectContaining({ kind: 'other', sizeBytes: 0 })], true]);
  mkdirSync(at('deep/'.repeat(258)), { recursive: true });
  const deep = await search('deep', { limit: 1000 });
  expect([deep.matches.length, deep.isComplete]).toEqual([258, false]);
});

test('many files: everybody else has a turn meanwhile, and a search that nobody wants any more ends', async () => {
  const { search, at } = openTree();
  for (let directory = 0; directory < 20; directory += 1) {
    mkdirSync(at(`many/${directory}`), { recursive: true });
    for (let file = 0; file < 50; file += 1) writeFileSync(at(`many/${directory}/${file}`), '');
  }
  let turns = 0;
  const takeTurns = () => {
    turns += 1;
    next = setImmediate(takeTurns);
  };
  let next = setImmediate(takeTurns);
  expect(await search('nothing')).toEqual({ matches: [], isComplete: true });
  clearImmediate(next);
  expect(turns).toBeGreaterThan(20);
  const leaving = new AbortController();
  const stopped = expect(search('nothing', { signal: leaving.signal })).rejects.toThrow();
  leaving.abort();
  await stopped;
});
