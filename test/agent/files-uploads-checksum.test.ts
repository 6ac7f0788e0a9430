import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { openBelow, UUID } from './files-harness.js';
import { openUploads, sha256 } from './uploads-harness.js';

const MEGABYTE = 1024 * 1024;
const content = randomBytes(16 * MEGABYTE);
const stopped = { code: 'file.failed', message: 'The transfer was stopped.' };

/** How often a file has been read; each reading waits until it may go on. */
async function watchReading() {
  const file = await open('/dev/null');
  const prototype: FileHandle = Object.getPrototypeOf(file);
  await file.close();
  const gate = new EventEmitter();
  const opened = once(gate, 'open');
  const { read } = prototype;
  let times = 0;
  prototype.read = async function (this: FileHandle, ...input: Parameters<typeof read>) {
    times += 1;
    await opened;
    return await read.apply(this, input);
  } as typeof read;
  const restore = () => {
    prototype.read = read;
  };
  onTestFinished(restore);
  return { go: () => gate.emit('open'), times: () => times, restore };
}

async function uploadAll() {
  const files = openUploads();
  const upload = await files.begin('new', content.length);
  await files.put(upload.uploadId, 0, content);
  const finishing = new AbortController();
  const { service, call } = files;
  return {
    ...files,
    upload,
    leave: () => finishing.abort(),
    openFiles: () => openBelow(files.places.server),
    finish: (checksum: string, signal = call.signal) =>
      service.operate(
        UUID,
        'finish-upload',
        { uploadId: upload.uploadId, sha256: checksum },
        { ...call, signal },
      ),
    /** Somebody who will not wait until the end. */
    begun: () =>
      expect(
        service.operate(
          UUID,
          'finish-upload',
          { uploadId: upload.uploadId, sha256: sha256(content) },
          { ...call, signal: finishing.signal },
        ),
      ).rejects.toMatchObject(stopped),
  };
}

test('a checksum goes on when nobody waits for it any more, and who asks again gets that one', async () => {
  const { finish, begun, leave, read } = await uploadAll();
  const { go, times, restore } = await watchReading();
  const left = begun();
  await eventually('the reading has begun', () => times() === 1);
  leave();
  await left;
  const again = finish(sha256(content));
  go();
  expect(await again).toMatchObject({ name: 'new', sizeBytes: content.length });
  expect(times()).toBe(content.length / MEGABYTE + 1);
  restore();
  expect((await read('new')).equals(content)).toBe(true);
});

test('a checksum of what has been changed since is not taken for one of what is there', async () => {
  const { finish, begun, leave, upload, hiddenOf, openFiles, at } = await uploadAll();
  const { go, times } = await watchReading();
  const left = begun();
  await eventually('the reading has begun', () => times() === 1);
  leave();
  await left;
  go();
  await eventually('the reading has ended', () => openFiles().length === 0);
  const other = randomBytes(content.length);
  writeFileSync(hiddenOf(upload), other);
  utimesSync(hiddenOf(upload), 1, 1);
  await finish(sha256(other));
  expect(readFileSync(at('new')).equals(other)).toBe(true);
});

test.each<[string, (files: Awaited<ReturnType<typeof uploadAll>>) => Promise<unknown>]>([
  ['is cancelled', ({ cancel, upload }) => cancel(upload.uploadId)],
  ['is of a server that is removed', ({ service }) => service.closeServer(UUID)],
  ['is of an agent that stops', ({ service }) => service.close()],
])('the checksum of an upload that %s ends, and holds nothing open', async (_how, end) => {
  const files = await uploadAll();
  const { go, times } = await watchReading();
  const left = files.begun();
  await eventually('the reading has begun', () => times() === 1);
  files.leave();
  await left;
  const ended = end(files);
  go();
  await ended;
  await eventually('nothing is open', () => files.openFiles().length === 0);
  expect(times()).toBeLessThan(content.length / MEGABYTE);
});
