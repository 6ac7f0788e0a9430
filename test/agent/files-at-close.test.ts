import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { HANDLES_PER_SERVER_MAX } from '../../src/protocol/data-plane.js';
import { eventually } from '../helpers/condition.js';
import { makePlaces } from '../helpers/path-tricks.js';
import { type AtCloseFiles, openAtClose } from './at-close-harness.js';
import { owner, UUID } from './files-harness.js';
import { isRoot } from './harness.js';

const MEGABYTE = 1024 * 1024;
const run = (tool: string, ...words: string[]) => void execFileSync(tool, words);
const uid = owner?.uid ?? process.getuid?.();
const OLD = { 'd/': '', 'd/file': 'inside' };

test('until it is closed the old file is on the disk, and whoever asks for the name meets the new one', async () => {
  const { begin, put, get, close, open, operate, read, names, at, onDisk } = openAtClose();
  chmodSync(at('d/file'), 0o640);
  const handle = await begin('d/file', { read: true });
  expect(await operate('stat', { path: 'd/file', followLinks: false })).toMatchObject({
    ...{ name: 'file', kind: 'file', sizeBytes: 0, mode: 0o640 },
  });
  await put(handle, 'new content');
  const [temporary = ''] = readdirSync(at('d')).filter((name) => name !== 'file');
  expect(temporary).toMatch(/^\.catalyst-[0-9a-f]{12}-\d+\.part$/);
  expect(onDisk()).toEqual({ ...OLD, [`d/${temporary}`]: 'new content' });
  expect(await names('d')).toEqual(['file']);
  const { entries } = await operate('list', { path: 'd', limit: 10 });
  expect(entries).toEqual([await operate('stat', { path: 'd/file', followLinks: true })]);
  expect(entries[0]?.sizeBytes).toBe(11);
  expect(String(await read('d/file', { offset: 4 }))).toBe('content');
  const reader = await open('d/file', { read: true });
  expect(await get(reader.handle)).toBe('new content');
  await operate('set-attributes', { path: 'd/file', mode: 0o600, modifiedAtMs: 1_000_000 });
  await close(handle);
  expect(onDisk()).toEqual({ 'd/': '', 'd/file': 'new content' });
  expect(statSync(at('d/file'))).toMatchObject({ uid, mode: 0o100600, mtimeMs: 1_000_000 });
  expect(await get(reader.handle)).toBe('new content');
  await expect(put(handle, 'x')).rejects.toMatchObject({ code: 'file.handle_invalid' });
});

test.each<[string, (files: AtCloseFiles, handle: string) => Promise<unknown>]>([
  ['is discarded', ({ close }, handle) => close(handle, true)],
  ['loses its connection', ({ service, call }) => service.closeConnection(call.connection)],
  ['is on a server that is removed', ({ service }) => service.closeServer(UUID)],
  ['is on an agent that stops', ({ service }) => service.close()],
  [
    'is forgotten',
    ({ names, at }) => eventually('the end of it', () => readdirSync(at('d')).length === 1 && names('d')),
  ],
])('a file that %s leaves what was there before, and nothing else', async (how, end) => {
  const files = openAtClose(how === 'is forgotten' ? { handleIdleMs: 200 } : {});
  const { begin, put, onDisk, places } = files;
  const handle = await begin('d/file');
  await put(handle, 'half of');
  const stateDirectory = join(places.root, 'state');
  expect(readdirSync(stateDirectory)).toContain(UUID);
  if (!['is discarded', 'is forgotten'].includes(how)) await begin('new');
  await end(files, handle);
  expect(onDisk()).toEqual(OLD);
  await files.service.close();
  expect(readdirSync(stateDirectory)).not.toContain(UUID);
});

test('new files and directories have the mode that they were opened with, replaced ones keep theirs', async () => {
  const { begin, close, open, operate, at } = openAtClose();
  const modeOf = (path: string) => statSync(at(path)).mode & 0o7777;
  await close(await begin('a', { mode: 0o600 }));
  await close(await begin('b'));
  await close(await begin('a', { mode: 0o777 }));
  await close((await open('c', { write: true, create: true, mode: 0o755 })).handle);
  await close((await open('c', { write: true, create: true, truncate: true, mode: 0o700 })).handle);
  await operate('make-directory', { path: 'x/y', parents: true, mode: 0o700 });
  expect(['a', 'b', 'c', 'x', 'x/y'].map(modeOf)).toEqual([0o600, 0o644, 0o755, 0o755, 0o700]);
  chmodSync(at('a'), 0o6755);
  await close(await begin('a'));
  expect(modeOf('a')).toBe(0o755);
  for (const path of ['a', 'b', 'c', 'x/y']) expect(statSync(at(path)).uid, path).toBe(uid);
});

test('what is refused for want of room is not put in the place of the old file, and gives its room back', async () => {
  const { begin, put, close, operate, write, onDisk } = openAtClose({ limitBytes: 4 * MEGABYTE });
  const exceeded = { code: 'file.quota_exceeded' };
  const handle = await begin('d/file');
  await put(handle, Buffer.alloc(3 * MEGABYTE));
  await expect(put(handle, Buffer.alloc(2 * MEGABYTE), 3 * MEGABYTE)).rejects.toMatchObject(exceeded);
  await expect(operate('set-attributes', { path: 'd/file', sizeBytes: 5 * MEGABYTE })).rejects.toMatchObject(
    exceeded,
  );
  await expect(write('other', Buffer.alloc(MEGABYTE))).rejects.toMatchObject(exceeded);
  await expect(close(handle)).rejects.toMatchObject(exceeded);
  expect(onDisk()).toEqual(OLD);
  await write('other', Buffer.alloc(3 * MEGABYTE));
});

test('the bytes of a replaced file are free again, those of a nameless one only when it is closed', async () => {
  const { begin, put, close, operate, write } = openAtClose({ limitBytes: 10 * MEGABYTE });
  for (let turn = 0; turn < 5; turn += 1) {
    const handle = await begin('a');
    await put(handle, Buffer.alloc(4 * MEGABYTE));
    await close(handle);
  }
  const handle = await begin('b');
  await put(handle, Buffer.alloc(2 * MEGABYTE));
  await operate('remove', { path: 'b', recursive: false });
  await put(handle, Buffer.alloc(2 * MEGABYTE), 2 * MEGABYTE);
  const big = () => write('c', Buffer.alloc(3 * MEGABYTE), { sizeBytes: 3 * MEGABYTE });
  await expect(big()).rejects.toMatchObject({ code: 'file.quota_exceeded' });
  await close(handle);
  await big();
});

test.runIf(isRoot)('on a full disk the old file stays, and nothing is left of the new one', async () => {
  const places = makePlaces();
  mkdirSync(join(places.server, 'small'));
  const { begin, put, close, write, onDisk, at } = openAtClose({ places });
  run('mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', at('small'));
  onTestFinished(() => run('umount', at('small')));
  await write('small/a', 'old');
  const handle = await begin('small/a');
  const noSpace = { code: 'file.no_space' };
  await expect(put(handle, Buffer.alloc(3 * MEGABYTE))).rejects.toMatchObject(noSpace);
  await expect(close(handle)).rejects.toMatchObject(noSpace);
  expect(onDisk('small')).toEqual({ a: 'old' });
  const next = await begin('small/a');
  await put(next, 'new');
  await close(next);
  expect(onDisk('small')).toEqual({ a: 'new' });
});

test('as many as there may be handles, one more is file.busy, and leaves nothing', async () => {
  const { begin, put, close, names, onDisk } = openAtClose();
  const paths = Array.from({ length: HANDLES_PER_SERVER_MAX }, (_, index) => `d/${index}`);
  const handles = await Promise.all(paths.map((path) => begin(path)));
  await expect(begin('d/more')).rejects.toMatchObject({ code: 'file.busy' });
  expect(await names('d')).toHaveLength(paths.length + 1);
  await Promise.all(handles.map((handle, index) => put(handle, `content ${index}`)));
  await Promise.all(handles.map((handle) => close(handle)));
  const expected = paths.map((path, index) => [path, `content ${index}`]);
  expect(onDisk()).toEqual({ ...OLD, ...Object.fromEntries(expected) });
});

test('the size is set by the name and by the handle, as of any open file', async () => {
  const { begin, put, close, operate, service, call, onDisk } = openAtClose();
  const handle = await begin('a');
  await put(handle, '0123456789');
  await operate('set-attributes', { path: 'a', sizeBytes: 6 });
  expect(await service.operateHandle(handle, 'set-attributes', { sizeBytes: 4 }, call)).toMatchObject({
    sizeBytes: 4,
  });
  await put(handle, 'x', 5);
  await close(handle);
  expect(onDisk().a).toBe('0123\0x');
});

test('links, FIFOs and files with a second name are replaced, directories are not', async () => {
  const { begin, put, close, places, at, onDisk } = openAtClose();
  symlinkSync(places.secret, at('l'));
  linkSync(places.secret, at('h'));
  run('mkfifo', at('p'));
  for (const path of ['l', 'h', 'p']) {
    const handle = await begin(path);
    await put(handle, 'new');
    await close(handle);
    expect(lstatSync(at(path)).isFile(), path).toBe(true);
  }
  expect(onDisk()).toMatchObject({ l: 'new', h: 'new', p: 'new' });
  expect(statSync(places.secret).size).toBe('canary-7f3d'.length);
  await expect(begin('d')).rejects.toMatchObject({ code: 'file.is_directory' });
  const late = await begin('late');
  mkdirSync(at('late'));
  await expect(close(late)).rejects.toMatchObject({ code: 'file.is_directory' });
  expect(readdirSync(at('.')).sort()).toEqual(['d', 'h', 'l', 'late', 'p']);
});

test('one that was removed by somebody else, alone or with its directory, cannot be closed well', async () => {
  const { begin, put, close, at, onDisk } = openAtClose();
  mkdirSync(at('x'));
  const [alone, below] = [await begin('a'), await begin('x/b')];
  for (const handle of [alone, below]) await put(handle, 'content');
  const [temporary = ''] = readdirSync(at('.')).filter((name) => name.endsWith('.part'));
  rmSync(at(temporary));
  rmSync(at('x'), { recursive: true });
  const missing = { code: 'file.not_found', message: expect.stringMatching(/write it again/) };
  for (const handle of [alone, below]) await expect(close(handle)).rejects.toMatchObject(missing);
  expect(onDisk()).toEqual(OLD);
});
