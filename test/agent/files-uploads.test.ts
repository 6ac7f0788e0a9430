import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { PartialUpload, UPLOADS_PER_SERVER_MAX } from '../../src/protocol/data-plane.js';
import { eventually } from '../helpers/condition.js';
import { makePlaces } from '../helpers/path-tricks.js';
import { owner, UUID } from './files-harness.js';
import { openUploads, sha256 } from './uploads-harness.js';

const MEGABYTE = 1024 * 1024;
const UNKNOWN = '99999999-9999-4999-8999-999999999999';
const notFound = { code: 'upload.not_found' };
const content = randomBytes(3 * MEGABYTE);
const [first, second] = [content.subarray(0, MEGABYTE), content.subarray(MEGABYTE)];

test('an upload goes on with the next agent, and is under its name only when it is finished', async () => {
  const places = makePlaces();
  const before = openUploads({ places });
  const upload = await before.begin('worlds//new/world.zip', content.length);
  expect(PartialUpload.parse(upload)).toEqual(upload);
  expect(upload).toMatchObject({ path: '/worlds/new/world.zip', receivedBytes: 0 });
  expect(upload.expiresAtMs).toBeGreaterThan(Date.now() + 23 * 3600_000);
  expect(await before.put(upload.uploadId, 0, first)).toMatchObject({ receivedBytes: MEGABYTE });
  await before.service.close();

  const { find, put, finish, operate, service, at, hiddenOf, hidden, notes, read } = openUploads({ places });
  await service.cleanUp();
  expect(await find(upload.uploadId)).toMatchObject({ receivedBytes: MEGABYTE, path: upload.path });
  expect((await operate('list-uploads', {})).uploads).toEqual([await find(upload.uploadId)]);
  expect(statSync(hiddenOf(upload)).mode & 0o777).toBe(0o600);
  expect(statSync(hiddenOf(upload)).uid).toBe(process.getuid?.());
  await put(upload.uploadId, MEGABYTE, second);
  expect(readdirSync(places.server).sort()).toEqual([...hidden(), 'd']);
  const entry = await finish(upload.uploadId, sha256(content));
  expect(entry).toMatchObject({ name: 'world.zip', kind: 'file', sizeBytes: content.length, mode: 0o644 });
  expect((await read('worlds/new/world.zip')).equals(content)).toBe(true);
  for (const path of ['worlds', 'worlds/new', 'worlds/new/world.zip']) {
    expect(statSync(at(path)).uid, path).toBe(owner?.uid ?? process.getuid?.());
  }
  expect([hidden(), notes(), (await operate('list-uploads', {})).uploads]).toEqual([[], [], []]);
  await expect(find(upload.uploadId)).rejects.toMatchObject(notFound);
});

test('a file in the way is replaced in one step and keeps its mode, or stays where nothing may be replaced', async () => {
  const { begin, put, finish, write, at } = openUploads();
  chmodSync(at('d/file'), 0o4750);
  await expect(begin('d/file', 1, { replace: false })).rejects.toMatchObject({ code: 'file.exists' });
  await expect(begin('d', 1)).rejects.toMatchObject({ code: 'file.is_directory' });
  await expect(begin('d/file/x', 1)).rejects.toMatchObject({ code: 'file.not_directory' });
  const replacing = await begin('d/file', 3);
  const careful = await begin('d/new', 3, { replace: false });
  for (const { uploadId } of [replacing, careful]) await put(uploadId, 0, Buffer.from('new'));
  expect(readFileSync(at('d/file'), 'utf8')).toBe('inside');
  expect(await finish(replacing.uploadId)).toMatchObject({ mode: 0o750 });
  expect([readFileSync(at('d/file'), 'utf8'), statSync(at('d/file')).mode & 0o7777]).toEqual(['new', 0o750]);
  await write('d/new', 'somebody was quicker');
  await expect(finish(careful.uploadId)).rejects.toMatchObject({ code: 'file.exists' });
  expect(readFileSync(at('d/new'), 'utf8')).toBe('somebody was quicker');
  rmSync(at('d/new'));
  expect(await finish(careful.uploadId)).toMatchObject({ name: 'new', sizeBytes: 3 });
});

test('a part begins where the last one ended, one at a time, and what came before an error stays', async () => {
  const { begin, put, find, call } = openUploads();
  const { uploadId } = await begin('new', content.length);
  const source = new PassThrough();
  const writing = put(uploadId, 0, source);
  source.write(first);
  await expect(put(uploadId, 0, first)).rejects.toMatchObject({ code: 'file.busy' });
  await eventually('the bytes are taken', () => source.readableLength === 0);
  source.destroy(new Error('cut off'));
  await expect(writing).rejects.toThrow('cut off');
  expect(await find(uploadId)).toMatchObject({ receivedBytes: MEGABYTE });
  for (const offset of [0, MEGABYTE - 1, MEGABYTE + 1]) {
    const mismatch = { code: 'upload.offset_mismatch', message: expect.stringContaining(`byte ${MEGABYTE}`) };
    await expect(put(uploadId, offset, second)).rejects.toMatchObject(mismatch);
  }
  const leaving = new AbortController();
  const next = new PassThrough();
  const stopped = put(uploadId, MEGABYTE, next, AbortSignal.any([call.signal, leaving.signal]));
  next.write(Buffer.alloc(10));
  await eventually('the bytes are taken', () => next.readableLength === 0);
  leaving.abort();
  await expect(stopped).rejects.toMatchObject({ code: 'file.failed' });
  expect([next.destroyed, (await find(uploadId)).receivedBytes]).toEqual([true, MEGABYTE + 10]);
});

test('more than was announced is refused, what fits is kept; less is not finished', async () => {
  const { begin, put, finish, read, find } = openUploads();
  const { uploadId } = await begin('new', MEGABYTE);
  await put(uploadId, 0, first.subarray(0, 100));
  const incomplete = {
    code: 'upload.incomplete',
    message: expect.stringContaining(`${MEGABYTE - 100} bytes`),
  };
  await expect(finish(uploadId)).rejects.toMatchObject(incomplete);
  await expect(put(uploadId, 100, content.subarray(100))).rejects.toMatchObject({ code: 'file.too_large' });
  expect(await find(uploadId)).toMatchObject({ receivedBytes: MEGABYTE });
  await finish(uploadId, sha256(first));
  expect((await read('new')).equals(first)).toBe(true);
  const empty = await begin('empty', 0);
  expect(await finish(empty.uploadId, sha256(Buffer.alloc(0)))).toMatchObject({ sizeBytes: 0 });
});

test('what does not have its checksum is dropped, and takes no room any more', async () => {
  const { begin, put, finish, find, hidden, notes, usedBytes, at } = openUploads({ limitBytes: 2 ** 30 });
  const { uploadId } = await begin('d/file', content.length);
  const usedBefore = await usedBytes();
  await put(uploadId, 0, content);
  expect(await usedBytes()).toBe(usedBefore + content.length);
  const mismatch = { code: 'upload.checksum_mismatch' };
  await expect(finish(uploadId, sha256(first))).rejects.toMatchObject(mismatch);
  await expect(find(uploadId)).rejects.toMatchObject(notFound);
  expect([hidden(), notes(), await usedBytes()]).toEqual([[], [], usedBefore]);
  expect(readFileSync(at('d/file'), 'utf8')).toBe('inside');
});

test('the disk limit counts: at the beginning all must fit, later what is there by then', async () => {
  const { begin, put, find, cancel, finish } = openUploads({ limitBytes: 4 * MEGABYTE });
  const exceeded = { code: 'file.quota_exceeded' };
  await expect(begin('large', 4 * MEGABYTE)).rejects.toMatchObject(exceeded);
  const [one, other] = [await begin('one', content.length), await begin('other', content.length)];
  await put(one.uploadId, 0, content);
  await expect(put(other.uploadId, 0, content)).rejects.toMatchObject(exceeded);
  const { receivedBytes } = await find(other.uploadId);
  expect(receivedBytes).toBeLessThan(MEGABYTE);
  await cancel(one.uploadId);
  await put(other.uploadId, receivedBytes, content.subarray(receivedBytes));
  expect(await finish(other.uploadId, sha256(content))).toMatchObject({ sizeBytes: content.length });
});

test('a server has only so many uploads, also when they begin at once', async () => {
  const { begin, cancel, notes, hidden } = openUploads();
  const attempts = Array.from({ length: UPLOADS_PER_SERVER_MAX + 5 }, (_, index) => begin(`${index}`, 1));
  const outcomes = await Promise.allSettled(attempts);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'file.busy' });
  }
  const begun = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  expect(begun.length).toBeLessThanOrEqual(UPLOADS_PER_SERVER_MAX);
  while (notes().length < UPLOADS_PER_SERVER_MAX) begun.push(await begin('more', 1));
  await expect(begin('one more', 1)).rejects.toMatchObject({ code: 'file.busy' });
  expect([notes().length, hidden().length]).toEqual([UPLOADS_PER_SERVER_MAX, UPLOADS_PER_SERVER_MAX]);
  await cancel(begun[0]?.uploadId ?? '');
  await begin('one more', 1);
});

test('an upload is cancelled in the middle of a part, which ends; nothing of it is left', async () => {
  const { begin, put, cancel, find, hidden, notes } = openUploads();
  const { uploadId } = await begin('new', content.length);
  const source = new PassThrough();
  const writing = put(uploadId, 0, source);
  source.write(first);
  const ended = expect(writing).rejects.toMatchObject(notFound);
  expect(await cancel(uploadId)).toEqual({});
  await ended;
  expect([source.destroyed, hidden(), notes()]).toEqual([true, [], []]);
  for (const ask of [find, cancel]) await expect(ask(uploadId)).rejects.toMatchObject(notFound);
  await expect(find(UNKNOWN)).rejects.toMatchObject(notFound);
  await expect(put(UNKNOWN, 0, first)).rejects.toMatchObject(notFound);
});

test('only what was noted counts as received: more is cut off, and what is shorter begins there', async () => {
  const { begin, put, find, finish, hiddenOf, read } = openUploads();
  const upload = await begin('new', content.length);
  await put(upload.uploadId, 0, first);
  appendFileSync(hiddenOf(upload), 'may have been with the disk, or not');
  expect(await find(upload.uploadId)).toMatchObject({ receivedBytes: MEGABYTE });
  truncateSync(hiddenOf(upload), 1000);
  expect(await find(upload.uploadId)).toMatchObject({ receivedBytes: 1000 });
  await put(upload.uploadId, 1000, content.subarray(1000, MEGABYTE));
  appendFileSync(hiddenOf(upload), Buffer.alloc(4 * MEGABYTE));
  await put(upload.uploadId, MEGABYTE, second);
  await finish(upload.uploadId, sha256(content));
  expect((await read('new')).equals(content)).toBe(true);
});

test('what has expired is removed, and so are bytes without a note; what goes on and what only looks like it stay', async () => {
  const { begin, put, service, noteOf, hiddenOf, hidden, notes, places } = openUploads();
  const [old, fresh, busy, damaged, lost] = await Promise.all(
    ['old', 'fresh', 'busy', 'damaged', 'lost'].map((path) => begin(path, content.length)),
  );
  if (!old || !fresh || !busy || !damaged || !lost) throw new Error('there are five');
  for (const upload of [old, busy]) {
    const note = JSON.parse(readFileSync(noteOf(upload), 'utf8'));
    writeFileSync(noteOf(upload), JSON.stringify({ ...note, expiresAtMs: Date.now() - 1 }));
  }
  writeFileSync(noteOf(damaged), '{');
  rmSync(noteOf(lost));
  mkdirSync(hiddenOf({ ...lost, uploadId: UNKNOWN }));
  const source = new PassThrough();
  const writing = put(busy.uploadId, 0, source);
  await service.cleanUp();
  const left = [fresh.uploadId, busy.uploadId];
  expect(notes().sort()).toEqual(left.map((id) => `${id}.json`).sort());
  expect(hidden().sort()).toEqual([...left, UNKNOWN].map((id) => `.catalyst-upload-${id}`).sort());
  source.end(content);
  expect((await writing).expiresAtMs).toBeGreaterThan(Date.now());
  await service.closeServer(UUID);
  expect(hidden()).toEqual([`.catalyst-upload-${UNKNOWN}`]);
  expect(readdirSync(join(places.root, 'state', 'uploads'))).toEqual([]);
});

test('a server that is removed ends what is under way', async () => {
  const { begin, put, service, hidden } = openUploads();
  const { uploadId } = await begin('new', content.length);
  const source = new PassThrough();
  const ended = expect(put(uploadId, 0, source)).rejects.toMatchObject(notFound);
  await service.closeServer(UUID);
  await ended;
  expect([source.destroyed, hidden()]).toEqual([true, []]);
});
