import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { expect, test } from 'vitest';
import { CANARY } from '../helpers/path-tricks.js';
import { openFiles, owner } from './files-harness.js';

test.each([
  ['to a file beside it', 'd/link', 'file', 'inside'],
  ['to a file in a directory', 'link', 'd/file', 'inside'],
  ['with dots and slashes', 'link', './/d/./file', 'inside'],
  ['up and down again', 'd/deep/link', '../../d/file', 'inside'],
  ['up as far as it goes', 'd/deep/link', '../../other', 'other'],
])('a link %s is made, belongs to the server, and leads there', async (_what, path, target, content) => {
  const { operate, read, at } = openFiles();
  mkdirSync(at('d/deep'));
  writeFileSync(at('other'), 'other');
  const entry = await operate('make-link', { path, target });
  expect(entry).toMatchObject({ name: 'link', kind: 'link' });
  expect(lstatSync(at(path)).uid).toBe(owner?.uid ?? process.getuid?.());
  expect(await operate('read-link', { path })).toEqual({ target });
  expect(String(await read(path))).toBe(content);
});

test.each([
  ['an absolute path', 'link', '/d/file'],
  ['an absolute path of the machine', 'link', '/etc/passwd'],
  ['the directory above', 'link', '..'],
  ['above, from below', 'd/link', '../..'],
  ['above and back', 'link', `../server/d/file`],
  ['down and above', 'link', 'd/../../x'],
  ['above, by way of what is not there', 'd/link', 'x/../../../y'],
  ['above, behind a link that goes less deep', 'd/e/up/link', '../x'],
])('a link to %s is refused', async (_what, path, target) => {
  const { operate, at } = openFiles();
  mkdirSync(at('d/e'));
  // A directory that is named deep down and is the topmost one.
  symlinkSync('../..', at('d/e/up'));
  await expect(operate('make-link', { path, target })).rejects.toMatchObject({ code: 'file.outside' });
  expect(() => lstatSync(at(path))).toThrow('ENOENT');
});

test('where a link leads need not be there, and what leads outside by way of others is not followed', async () => {
  const { operate, read, at, places } = openFiles();
  await operate('make-link', { path: 'nothing', target: 'not/yet' });
  await expect(read('nothing')).rejects.toMatchObject({ code: 'file.not_found' });
  symlinkSync(places.outside, at('away'));
  await operate('make-link', { path: 'by-way', target: `away/${CANARY}` });
  await expect(read('by-way')).rejects.toMatchObject({ code: 'file.outside' });
  await expect(operate('make-link', { path: 'away/link', target: 'x' })).rejects.toMatchObject({
    code: 'file.outside',
  });
  expect(readdirSync(places.outside).sort()).toEqual([CANARY, 'inner']);
});

test('nothing in the way is touched, and a link at the end is itself what is in the way', async () => {
  const { operate, at, places } = openFiles();
  symlinkSync(`${places.outside}/new`, at('dangling'));
  for (const path of ['d/file', 'd', 'dangling']) {
    await expect(operate('make-link', { path, target: 'x' })).rejects.toMatchObject({ code: 'file.exists' });
  }
  expect(readFileSync(at('d/file'), 'utf8')).toBe('inside');
  expect(readlinkSync(at('dangling'))).toBe(`${places.outside}/new`);
  expect(readdirSync(places.outside).sort()).toEqual([CANARY, 'inner']);
  const wrong = { code: 'file.name_invalid' };
  for (const target of ['', 'a\0b']) {
    await expect(operate('make-link', { path: 'link', target })).rejects.toMatchObject(wrong);
  }
  await expect(operate('make-link', { path: '/', target: 'd' })).rejects.toMatchObject(wrong);
  await expect(operate('make-link', { path: 'link', target: 'n'.repeat(4096) })).rejects.toMatchObject(wrong);
  await expect(operate('make-link', { path: 'no/link', target: 'd' })).rejects.toMatchObject({
    code: 'file.not_found',
  });
});

test('what a link says is told of links only, wherever it leads', async () => {
  const { operate, at } = openFiles();
  symlinkSync('/nowhere/at all', at('absolute'));
  linkSync(at('absolute'), at('second'));
  expect(await operate('read-link', { path: 'absolute' })).toEqual({ target: '/nowhere/at all' });
  expect(await operate('read-link', { path: 'second' })).toEqual({ target: '/nowhere/at all' });
  for (const path of ['d', 'd/file']) {
    await expect(operate('read-link', { path })).rejects.toMatchObject({ code: 'file.not_regular' });
  }
  await expect(operate('read-link', { path: 'none' })).rejects.toMatchObject({ code: 'file.not_found' });
});

test('links count against the disk limit', async () => {
  const { operate } = openFiles({ limitBytes: 64 * 1024 });
  const make = async () => {
    for (let count = 0; count < 20; count += 1)
      await operate('make-link', { path: `l${count}`, target: 'd' });
  };
  await expect(make()).rejects.toMatchObject({ code: 'file.quota_exceeded' });
});
