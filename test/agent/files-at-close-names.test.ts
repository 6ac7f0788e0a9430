import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { WAITING_PREFIX } from '../../src/protocol/data-plane.js';
import { type AtCloseFiles, openAtClose } from './at-close-harness.js';

const UPLOAD = '3f0c8d52-6a54-4c6e-9a53-0d6c9b0e7f11';

/** Begun, with the path as its content. */
async function beginAll({ begin, put }: AtCloseFiles, ...paths: string[]): Promise<string[]> {
  const handles = await Promise.all(paths.map((path) => begin(path)));
  await Promise.all(handles.map((handle, index) => put(handle, paths[index] ?? '')));
  return handles;
}
async function closeAll({ close }: AtCloseFiles, handles: string[]) {
  for (const handle of handles) await close(handle);
}
const rename = ({ operate }: AtCloseFiles, from: string, to: string, replace = true) =>
  operate('rename', { from, to, replace });

test('renamed while it is written: at once under the new name, and the old file moves with it', async () => {
  const files = openAtClose();
  const { names, read, close, put, onDisk, operate } = files;
  await operate('make-directory', { path: 'x', parents: false });
  const [fresh = '', over = ''] = await beginAll(files, 'fresh', 'd/file');
  await rename(files, 'fresh', 'x/moved');
  await rename(files, 'd/file', 'other', false);
  expect([await names('/'), await names('d'), await names('x')]).toEqual([
    ['d', 'other', 'x'],
    [],
    ['moved'],
  ]);
  expect(String(await read('x/moved'))).toBe('fresh');
  await expect(read('fresh')).rejects.toMatchObject({ code: 'file.not_found' });
  await put(fresh, ' and more', 5);
  await close(fresh);
  await close(over, true);
  expect(onDisk()).toEqual({ 'd/': '', other: 'inside', 'x/': '', 'x/moved': 'fresh and more' });
});

test('two renamed onto each other at the same time: one is left, under one of the names', async () => {
  const files = openAtClose();
  const handles = await beginAll(files, 'a', 'b');
  await Promise.allSettled([rename(files, 'a', 'b'), rename(files, 'b', 'a')]);
  const shown = (await files.names()).filter((name) => name !== 'd');
  expect(shown).toHaveLength(1);
  await closeAll(files, handles);
  const { 'd/': _directory, 'd/file': _file, ...left } = files.onDisk();
  expect(Object.keys(left)).toEqual(shown);
});

test.each([
  ['a file', 'd/file', 'inside'],
  ['another that is written', 'b', 'b'],
])(
  '%s that is renamed over it takes its name for good, however it is closed',
  async (_what, from, content) => {
    const files = openAtClose();
    const [first = '', second = ''] = await beginAll(files, 'a', 'b');
    await rename(files, from, 'a');
    expect(String(await files.read('a'))).toBe(content);
    await files.put(first, 'still open');
    await files.close(first);
    await files.close(second);
    expect(files.onDisk().a).toBe(content);
    expect(readdirSync(files.at('.')).filter((name) => name.startsWith('.'))).toEqual([]);
  },
);

test('a rename that does not replace, or that cannot be, changes nothing', async () => {
  const files = openAtClose();
  const handles = await beginAll(files, 'a', 'b');
  const { operate, onDisk } = files;
  await operate('make-directory', { path: 'x', parents: false });
  const exists = { code: 'file.exists' };
  for (const [from, to] of [
    ['d/file', 'a'],
    ['a', 'b'],
    ['a', 'd/file'],
    ['a', 'a'],
  ] as const) {
    await expect(rename(files, from, to, false), `${from} to ${to}`).rejects.toMatchObject(exists);
  }
  await rename(files, 'a', 'a');
  await expect(rename(files, 'x', 'a')).rejects.toMatchObject(exists);
  await expect(rename(files, 'a', 'x')).rejects.toMatchObject({ code: 'file.is_directory' });
  await expect(rename(files, 'none', 'a')).rejects.toMatchObject({ code: 'file.not_found' });
  await expect(rename(files, 'a', 'none/a')).rejects.toMatchObject({ code: 'file.not_found' });
  await closeAll(files, handles);
  expect(onDisk()).toEqual({ 'd/': '', 'd/file': 'inside', 'x/': '', a: 'a', b: 'b' });
});

test('removed while it is written: gone at once with what was there before, and closing makes nothing', async () => {
  const files = openAtClose();
  const { operate, names, put, close, begin, onDisk } = files;
  const [fresh = '', over = '', below = ''] = await beginAll(files, 'fresh', 'd/file', 'd/below');
  expect(await operate('remove', { path: 'fresh', recursive: false })).toEqual({ removed: 1 });
  await expect(operate('remove', { path: 'fresh', recursive: false })).rejects.toMatchObject({
    code: 'file.not_found',
  });
  await expect(operate('remove', { path: 'd', recursive: false })).rejects.toMatchObject({
    code: 'file.not_empty',
  });
  expect(await operate('remove', { path: 'd/file', recursive: false })).toEqual({ removed: 1 });
  expect(await names('d')).toEqual(['below']);
  expect(await operate('remove', { path: 'd', recursive: true })).toEqual({ removed: 2 });
  for (const handle of [fresh, over, below]) {
    await put(handle, 'goes nowhere');
    await close(handle);
  }
  expect(onDisk()).toEqual({});
  await close(await begin('fresh'));
  expect(onDisk()).toEqual({ fresh: '' });
});

test('a directory that is renamed takes along what is written in it', async () => {
  const files = openAtClose();
  const { begin, close, names, at, onDisk, read } = files;
  const [inside = '', byTheGame = ''] = await beginAll(files, 'd/one', 'd/two');
  await rename(files, 'd', 'e');
  expect(await names('e')).toEqual(['file', 'one', 'two']);
  await close(inside);
  renameSync(at('e'), at('f'));
  // The name is another directory's now.
  mkdirSync(at('e'));
  await close(await begin('e/two'));
  expect(String(await read('f/two'))).toBe('d/two');
  await close(byTheGame);
  expect(onDisk()).toEqual({
    'e/': '',
    'e/two': '',
    'f/': '',
    'f/file': 'inside',
    'f/one': 'd/one',
    'f/two': 'd/two',
  });
});

test('the name is taken for whoever would make something new of it', async () => {
  const files = openAtClose();
  const { begin, close, open, operate, write, onDisk, at } = files;
  const [handle = ''] = await beginAll(files, 'a');
  const exists = { code: 'file.exists' };
  const create = { write: true, create: true, exclusive: true };
  await expect(begin('a', { exclusive: true })).rejects.toMatchObject(exists);
  await expect(open('a', create)).rejects.toMatchObject(exists);
  await expect(operate('make-directory', { path: 'a', parents: false })).rejects.toMatchObject(exists);
  await expect(operate('copy', { from: 'd/file', to: 'a' })).rejects.toMatchObject(exists);
  await expect(write('a', 'x', { replace: false })).rejects.toMatchObject(exists);
  const below = { code: 'file.not_directory' };
  await expect(operate('make-directory', { path: 'a', parents: true })).rejects.toMatchObject(below);
  await expect(operate('make-directory', { path: 'a/b', parents: true })).rejects.toMatchObject(below);
  await expect(write('a/b', 'x')).rejects.toMatchObject(below);
  await write('a', 'put in place by another door');
  expect(onDisk().a).toBe('put in place by another door');
  await close(handle);
  expect(onDisk()).toEqual({ a: 'a', 'd/': '', 'd/file': 'inside' });
  const exclusive = await begin('new', { truncate: false, exclusive: true });
  const second = await begin('next', { exclusive: true });
  writeFileSync(at('new'), 'of the game');
  await rename(files, 'next', 'a');
  await expect(close(exclusive)).rejects.toMatchObject(exists);
  await close(second);
  expect(onDisk()).toEqual({ a: '', 'd/': '', 'd/file': 'inside', new: 'of the game' });
});

test('opened again without being made anew, it is the same file; made anew, another, and the last close wins', async () => {
  const files = openAtClose();
  const { begin, put, get, close, open, read, onDisk, names } = files;
  const first = await begin('a', { read: true });
  await put(first, 'first');
  const again = await open('a', { write: true, append: true, create: true });
  await put(again.handle, ' and on');
  await close(again.handle);
  expect(await get(first)).toBe('first and on');
  const second = await begin('a');
  expect(String(await read('a'))).toBe('');
  await put(second, 'second');
  await close(second);
  expect([onDisk().a, String(await read('a'))]).toEqual(['second', 'second']);
  expect(await names()).toEqual(['a', 'd']);
  await put(first, 'FIRST');
  await close(first);
  expect(onDisk()).toEqual({ a: 'FIRST and on', 'd/': '', 'd/file': 'inside' });
});

test('copied while it is written: what there is of it so far, under its name, and nothing unfinished', async () => {
  const files = openAtClose();
  const { operate, close, at, onDisk } = files;
  const handles = await beginAll(files, 'd/file', 'd/new');
  writeFileSync(at(`d/.catalyst-upload-${UPLOAD}`), 'a part');
  await operate('copy', { from: 'd', to: 'all' });
  await operate('copy', { from: 'd/new', to: 'one' });
  for (const handle of handles) await close(handle, true);
  const copied = { 'all/': '', 'all/file': 'd/file', 'all/new': 'd/new', one: 'd/new' };
  const before = { 'd/': '', 'd/file': 'inside', [`d/.catalyst-upload-${UPLOAD}`]: 'a part' };
  expect(onDisk()).toEqual({ ...copied, ...before });
});

test('names for what is not finished are not listed, but do not keep a directory from being removed', async () => {
  const { operate, names, at } = openAtClose();
  const [part, upload, waiting] = [
    '.catalyst-0123456789ab-1.part',
    `.catalyst-upload-${UPLOAD}`,
    WAITING_PREFIX + UPLOAD,
  ];
  for (const name of [part, upload, waiting, '.catalyst-notes', '.catalyst-x.part'])
    writeFileSync(at(name), '');
  expect(await names()).toEqual(['.catalyst-notes', '.catalyst-x.part', 'd']);
  const { entries } = await operate('list', { path: '/', after: WAITING_PREFIX, limit: 10 });
  expect(entries.map(({ name }) => name)).toEqual(['.catalyst-x.part', 'd']);
  mkdirSync(at('x/y'), { recursive: true });
  writeFileSync(at(`x/y/${part}`), '');
  const removeAlone = (path: string) => operate('remove', { path, recursive: false });
  await expect(removeAlone('x')).rejects.toMatchObject({ code: 'file.not_empty' });
  expect(await removeAlone('x/y')).toEqual({ removed: 1 });
  await removeAlone('x');
  expect(existsSync(at('x'))).toBe(false);
});
