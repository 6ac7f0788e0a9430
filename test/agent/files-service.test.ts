import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { FileOperations, HANDLES_PER_SERVER_MAX } from '../../src/protocol/data-plane.js';
import { eventually } from '../helpers/condition.js';
import { openFiles, owner, UUID } from './files-harness.js';
import { isRoot } from './harness.js';

const run = (tool: string, ...words: string[]) => void execFileSync(tool, words);
const uid = owner?.uid ?? process.getuid?.();

test('files are written, read, listed, moved, copied and removed, and belong to the server', async () => {
  const { operate, write, read, at } = openFiles();
  const entry = await write('/plugins/deep/config.yml', 'a: 1\n');
  expect(entry).toMatchObject({ name: 'config.yml', kind: 'file', sizeBytes: 5, mode: 0o644 });
  await operate('make-directory', { path: 'worlds/one', parents: true });
  await operate('rename', { from: 'plugins/deep', to: 'worlds/one/deep', replace: false });
  expect(await operate('copy', { from: 'worlds', to: 'copy' })).toEqual({ bytes: 5 });
  expect(String(await read('copy/one/deep/config.yml'))).toBe('a: 1\n');
  expect(String(await read('copy/one/deep/config.yml', { offset: 1, length: 2 }))).toBe(': ');
  expect(await read('copy/one/deep/config.yml', { offset: 99 })).toHaveLength(0);
  const made = ['plugins', 'worlds', 'worlds/one', 'copy/one', 'copy/one/deep', 'copy/one/deep/config.yml'];
  for (const path of made) expect(statSync(at(path)).uid, path).toBe(uid);
  expect(await operate('remove', { path: 'copy', recursive: true })).toEqual({ removed: 4 });
  const { entries, next } = await operate('list', { path: '/', limit: 10 });
  expect([entries.map(({ name, kind }) => [name, kind]), next]).toEqual([
    [
      ['d', 'directory'],
      ['plugins', 'directory'],
      ['worlds', 'directory'],
    ],
    null,
  ]);
  for (const found of entries) expect(FileOperations.stat.output.parse(found)).toEqual(found);
});

test.each<[string, string, (files: ReturnType<typeof openFiles>) => Promise<unknown>]>([
  ['what is not there', 'file.not_found', ({ read }) => read('none')],
  ['a directory read as a file', 'file.is_directory', ({ read }) => read('d')],
  ['a file listed', 'file.not_directory', ({ operate }) => operate('list', { path: 'd/file', limit: 1 })],
  ['a file on the way', 'file.not_directory', ({ read }) => read('d/file/x')],
  ['a write over a directory', 'file.is_directory', ({ write }) => write('d', 'x')],
  ['a write over a file', 'file.exists', ({ write }) => write('d/file', 'x', { replace: false })],
  ['a full directory', 'file.not_empty', ({ operate }) => operate('remove', { path: 'd', recursive: false })],
  [
    'the directory removed',
    'file.name_invalid',
    ({ operate }) => operate('remove', { path: '/', recursive: true }),
  ],
  [
    'the directory renamed',
    'file.name_invalid',
    ({ operate }) => operate('rename', { from: '/', to: 'x', replace: true }),
  ],
  [
    'the directory replaced',
    'file.name_invalid',
    ({ operate }) => operate('rename', { from: 'd', to: '/', replace: true }),
  ],
  [
    'the directory copied into itself',
    'file.name_invalid',
    ({ operate }) => operate('copy', { from: '/', to: 'x' }),
  ],
  [
    'a directory copied into itself',
    'file.name_invalid',
    ({ operate }) => operate('copy', { from: 'd', to: 'd/x' }),
  ],
  [
    'a directory moved into itself',
    'file.name_invalid',
    ({ operate }) => operate('rename', { from: 'd', to: 'd/x', replace: false }),
  ],
  [
    'the mode of the directory',
    'file.denied',
    ({ operate }) => operate('set-attributes', { path: '/', mode: 0o777 }),
  ],
  [
    'a directory in the way',
    'file.exists',
    ({ operate }) => operate('make-directory', { path: 'd', parents: false }),
  ],
  [
    'a file in the way of directories',
    'file.not_directory',
    ({ operate }) => operate('make-directory', { path: 'd/file', parents: true }),
  ],
  [
    'a file in the way of a copy',
    'file.exists',
    ({ operate }) => operate('copy', { from: 'd/file', to: 'd/file' }),
  ],
  [
    'a file in the way',
    'file.exists',
    ({ operate }) => operate('rename', { from: 'd', to: 'd/file', replace: false }),
  ],
  ['more than announced', 'file.failed', ({ write }) => write('x', '12345', { sizeBytes: 4 })],
  ['fewer than announced', 'file.failed', ({ write }) => write('x', '123', { sizeBytes: 4 })],
  ['a name that is too long', 'file.name_invalid', ({ write }) => write('ü'.repeat(128), '')],
  [
    'an exclusive file that is there',
    'file.exists',
    ({ open }) => open('d/file', { write: true, create: true, exclusive: true }),
  ],
  [
    'a size beyond all numbers',
    'file.quota_exceeded',
    ({ operate }) => operate('set-attributes', { path: 'd/file', sizeBytes: 2 ** 52 }),
  ],
])('%s is %s, and nothing has changed', async (_name, code, run) => {
  const files = openFiles({ limitBytes: 2 ** 40 });
  await expect(run(files)).rejects.toMatchObject({ name: 'FileError', code });
  expect(readdirSync(files.places.server)).toEqual(['d']);
  expect(readdirSync(files.at('d'))).toEqual(['file']);
  expect(readFileSync(files.at('d/file'), 'utf8')).toBe('inside');
});

test('another server is server.not_found, as is one without a directory', async () => {
  const { service, call, places } = openFiles({});
  const list = (uuid: string) => service.operate(uuid, 'list', { path: '/', limit: 1 }, call);
  await expect(list('22222222-2222-4222-8222-222222222222')).rejects.toMatchObject({
    code: 'server.not_found',
  });
  run('rm', '-r', places.server);
  await expect(list(UUID)).rejects.toMatchObject({ code: 'server.not_found' });
});

test('links inside of the directory are followed for reading and on the way, and are otherwise themselves', async () => {
  const { operate, read, write, open, at } = openFiles();
  mkdirSync(at('logs/old'), { recursive: true });
  writeFileSync(at('logs/old/1.log'), 'log');
  symlinkSync('old/1.log', at('logs/latest.log'));
  symlinkSync('logs/../logs/./old', at('short'));
  symlinkSync('../../d/file', at('logs/old/up'));
  symlinkSync('short/../latest.log', at('by-way-of-a-link'));
  for (const path of ['logs/latest.log', 'short/1.log', 'by-way-of-a-link']) {
    expect(String(await read(path)), path).toBe('log');
  }
  expect(String(await read('short/up'))).toBe('inside');
  expect(await operate('stat', { path: 'logs/latest.log', followLinks: false })).toMatchObject({
    kind: 'link',
  });
  expect(await operate('stat', { path: 'logs/latest.log', followLinks: true })).toMatchObject({
    sizeBytes: 3,
  });
  expect((await operate('list', { path: 'short', limit: 9 })).entries.map(({ name }) => name)).toEqual([
    '1.log',
    'up',
  ]);
  await expect(open('logs/latest.log', { write: true })).rejects.toMatchObject({ code: 'file.not_regular' });
  await expect(operate('set-attributes', { path: 'short', mode: 0 })).rejects.toMatchObject({
    code: 'file.not_regular',
  });
  await write('short/2.log', 'new');
  expect(readFileSync(at('logs/old/2.log'), 'utf8')).toBe('new');
  await operate('copy', { from: 'logs', to: 'copy' });
  expect(readlinkSync(at('copy/latest.log'))).toBe('old/1.log');
  expect(lstatSync(at('copy/latest.log')).uid).toBe(uid);
  await write('logs/latest.log', 'no link any more');
  await operate('remove', { path: 'short', recursive: true });
  expect(existsSync(at('logs/old/1.log'))).toBe(true);
  expect(readFileSync(at('logs/old/1.log'), 'utf8')).toBe('log');
});

test('a mode survives being written over, set-user-id and the like do not', async () => {
  const { operate, write, open, at, call, service } = openFiles();
  const special = (name: string) => {
    writeFileSync(at(name), 'program');
    chmodSync(at(name), 0o6750);
  };
  special('a');
  await write('a', 'new');
  special('b');
  await operate('copy', { from: 'b', to: 'c' });
  special('e');
  const { handle } = await open('e', { write: true });
  await service.writeHandle(handle, { offset: 0 }, Readable.from([Buffer.from('P')]), call);
  chmodSync(at('d'), 0o3755);
  await operate('make-directory', { path: 'd/x', parents: false });
  for (const name of ['a', 'c', 'e']) expect(statSync(at(name)).mode & 0o7777, name).toBe(0o750);
  expect(statSync(at('d/x')).mode & 0o7777).toBe(0o755);
  await operate('set-attributes', { path: 'b', mode: 0o700, modifiedAtMs: 1_000_000 });
  expect(statSync(at('b'))).toMatchObject({ mode: 0o100700, mtimeMs: 1_000_000 });
});

test('a large directory is listed in pages, sorted, each name once, also those that are not text', async () => {
  const { operate, at } = openFiles();
  mkdirSync(at('big'));
  for (let index = 0; index < 5000; index += 1) writeFileSync(at(`big/${index}`), '');
  writeFileSync(Buffer.concat([Buffer.from(at('big/')), Buffer.from([0xff, 0xfe])]), '');
  const names: string[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await operate('list', { path: 'big', limit: 700, ...(after !== undefined && { after }) });
    expect(page.entries.length).toBeLessThanOrEqual(700);
    names.push(...page.entries.map(({ name }) => name));
    if (page.next === null) {
      expect(page.entries.at(-1)).toMatchObject({ name: '\ufffd\ufffd', kind: 'other' });
      break;
    }
    after = page.next;
  }
  expect(names).toEqual([...names].sort());
  expect(new Set(names).size).toBe(5001);
  expect(await operate('remove', { path: 'big', recursive: true })).toEqual({ removed: 5002 });
});

test('a FIFO is never opened, by no way, and does not hold anything up', async () => {
  const { operate, read, open, write, at } = openFiles();
  run('mkfifo', at('p'));
  const refused = { code: 'file.not_regular' };
  await expect(read('p')).rejects.toMatchObject(refused);
  await expect(open('p', { read: true })).rejects.toMatchObject(refused);
  await expect(open('p', { write: true, create: true })).rejects.toMatchObject(refused);
  await expect(operate('set-attributes', { path: 'p', sizeBytes: 0 })).rejects.toMatchObject(refused);
  await expect(operate('copy', { from: 'p', to: 'q' })).rejects.toMatchObject(refused);
  expect(await operate('stat', { path: 'p', followLinks: true })).toMatchObject({ kind: 'other' });
  await operate('rename', { from: 'p', to: 'd/p', replace: false });
  await operate('copy', { from: 'd', to: 'copy' });
  expect(readdirSync(at('copy'))).toEqual(['file']);
  await write('d/p', 'a file now');
  expect(statSync(at('d/p')).isFile()).toBe(true);
});

test.runIf(isRoot)('a second name is read only when the file is the server’s own', async () => {
  const { read, at, places, operate } = openFiles();
  linkSync(places.secret, at('foreign'));
  await expect(read('foreign')).rejects.toMatchObject({ code: 'file.not_regular' });
  await expect(operate('set-attributes', { path: 'foreign', mode: 0o777 })).rejects.toMatchObject({
    code: 'file.not_regular',
  });
  run('chown', String(owner?.uid), at('d/file'));
  linkSync(at('d/file'), at('own'));
  expect(String(await read('own'))).toBe('inside');
});

test('a write that is stopped leaves the old file and nothing else', async () => {
  const { service, places, at } = openFiles();
  writeFileSync(at('x'), 'old');
  const stop = new AbortController();
  const source = new PassThrough();
  source.write(Buffer.alloc(1024 * 1024));
  const request = { path: 'x', replace: true, sizeBytes: null };
  const writing = service.write(UUID, request, source, { signal: stop.signal, connection: {} });
  await eventually('a temporary file', () => readdirSync(places.server).length === 3);
  stop.abort();
  await expect(writing).rejects.toThrow();
  expect(source.destroyed).toBe(true);
  expect(readdirSync(places.server).sort()).toEqual(['d', 'x']);
  expect(readFileSync(at('x'), 'utf8')).toBe('old');
});

test('a source that ends well is not destroyed, nor is one whose bytes are refused', async () => {
  const { write } = openFiles({ limitBytes: 2 ** 20 });
  const refused = new PassThrough();
  refused.write(Buffer.alloc(600 * 1024));
  const writing = write('x', refused, { sizeBytes: 2 ** 21 });
  await expect(writing).rejects.toMatchObject({ code: 'file.quota_exceeded' });
  expect(refused.destroyed).toBe(false);
});

test('a file that becomes shorter while it is read destroys the stream', async () => {
  const { service, at, call } = openFiles();
  writeFileSync(at('x'), Buffer.alloc(4 * 1024 * 1024));
  const { stream, sizeBytes } = await service.read(UUID, { path: 'x', offset: 0, length: null }, call);
  expect(sizeBytes).toBe(4 * 1024 * 1024);
  truncateSync(at('x'), 10);
  await expect(buffer(stream)).rejects.toMatchObject({ code: 'file.failed' });
});

test('a handle reads, writes, appends, survives a rename, and belongs to its connection', async () => {
  const { service, operate, open, call, at } = openFiles();
  const opened = await open('h', { read: true, write: true, create: true, truncate: true });
  const { handle } = opened;
  const put = (offset: number, text: string, id = handle) =>
    service.writeHandle(id, { offset }, Readable.from([Buffer.from(text)]), call);
  expect(await put(0, 'hello')).toEqual({ bytes: 5 });
  await operate('rename', { from: 'h', to: 'moved', replace: false });
  await put(5, ' there');
  const { stream, sizeBytes } = await service.readHandle(handle, { offset: 6, length: 100 }, call);
  expect([String(await buffer(stream)), sizeBytes]).toEqual(['there', 5]);
  const shortened = await service.operateHandle(
    handle,
    'set-attributes',
    { sizeBytes: 3, mode: 0o600 },
    call,
  );
  expect(shortened).toMatchObject({ sizeBytes: 3, mode: 0o600 });
  const stranger = { ...call, connection: {} };
  const invalid = { code: 'file.handle_invalid' };
  await expect(service.operateHandle(handle, 'stat', {}, stranger)).rejects.toMatchObject(invalid);
  expect(await service.operateHandle(handle, 'close', { discard: false, isAbandoned: false }, call)).toEqual({
    isDropped: false,
  });
  await expect(service.operateHandle(handle, 'stat', {}, call)).rejects.toMatchObject(invalid);
  const appending = await open('moved', { write: true, append: true });
  await put(0, '!', appending.handle);
  expect(readFileSync(at('moved'), 'utf8')).toBe('hel!');
  await expect(service.readHandle(appending.handle, { offset: 0, length: 1 }, call)).rejects.toMatchObject({
    code: 'file.denied',
  });
  await service.closeConnection(call.connection);
  await expect(put(0, '', appending.handle)).rejects.toMatchObject(invalid);
});

test('a server has so many handles at most; those that nobody uses are closed', async () => {
  const { open, operate, service, call } = openFiles({ handleIdleMs: 400 });
  const opened = await Promise.all(
    Array.from({ length: HANDLES_PER_SERVER_MAX }, () => open('d/file', { read: true })),
  );
  await expect(open('d/file', { read: true })).rejects.toMatchObject({ code: 'file.busy' });
  await eventually('a place for another', () => open('d/file', { read: true }).catch(() => null));
  const [first] = opened;
  const stale = service.operateHandle(first?.handle ?? '', 'stat', {}, call);
  await expect(stale).rejects.toMatchObject({ code: 'file.handle_invalid' });
  await operate('remove', { path: 'd', recursive: true });
});

test('of many who make the same file without replacing, one does, and the file is his', async () => {
  const { write, read, places } = openFiles();
  const attempts = Array.from({ length: 20 }, (_, index) =>
    write('one', `writer ${index}`, { replace: false }),
  );
  const outcomes = await Promise.allSettled(attempts);
  const winners = outcomes.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []));
  expect(winners).toHaveLength(1);
  expect(String(await read('one'))).toBe(`writer ${winners[0]}`);
  expect(readdirSync(places.server).sort()).toEqual(['d', 'one']);
});
