import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { createFileService } from '../../agent/files/service.js';
import { makePlaces, removePlaces } from '../helpers/path-tricks.js';
import { openFiles, owner, UUID } from './files-harness.js';
import { isRoot } from './harness.js';

const run = (tool: string, ...words: string[]) => void execFileSync(tool, words);
const OTHER_UUID = '22222222-2222-4222-8222-222222222222';
const MEGABYTE = 1024 * 1024;
const exceeded = { code: 'file.quota_exceeded' };
const bytes = (count: number) => Buffer.alloc(count, 'x');

test('writers at the same time together keep to the limit, announced or not', async () => {
  for (const announced of [true, false]) {
    const { write, places, operate } = openFiles({ limitBytes: 10 * MEGABYTE });
    const attempts = Array.from({ length: 20 }, (_, index) =>
      write(`file-${index}`, bytes(MEGABYTE), announced ? { sizeBytes: MEGABYTE } : {}),
    );
    const done = (await Promise.allSettled(attempts)).filter(({ status }) => status === 'fulfilled');
    expect(done.length).toBeGreaterThanOrEqual(announced ? 9 : 1);
    expect(done.length).toBeLessThanOrEqual(9);
    const { usedBytes, limitBytes } = await operate('usage', {});
    expect(usedBytes).toBeLessThanOrEqual(limitBytes ?? 0);
    expect(readdirSync(places.server)).toHaveLength(done.length + 1);
  }
});

test('what is over the limit is refused by every way of writing, and room that is made counts at once', async () => {
  const { write, operate, open, service, call, at } = openFiles({ limitBytes: 4 * MEGABYTE });
  await write('a', bytes(3 * MEGABYTE));
  await expect(write('b', bytes(2 * MEGABYTE))).rejects.toMatchObject(exceeded);
  await expect(operate('copy', { from: 'a', to: 'b' })).rejects.toMatchObject(exceeded);
  await expect(operate('set-attributes', { path: 'a', sizeBytes: 5 * MEGABYTE })).rejects.toMatchObject(
    exceeded,
  );
  const { handle } = await open('c', { write: true, create: true });
  const put = (offset: number, data: Buffer) =>
    service.writeHandle(handle, { offset }, Readable.from([data]), call);
  await expect(put(2 ** 50, bytes(1))).rejects.toMatchObject(exceeded);
  await expect(put(Number.MAX_SAFE_INTEGER, bytes(1))).rejects.toMatchObject({ code: 'file.too_large' });
  await expect(put(0, bytes(2 * MEGABYTE))).rejects.toMatchObject(exceeded);
  await put(0, bytes(1000));
  await expect(write('huge', bytes(0), { sizeBytes: Number.MAX_SAFE_INTEGER })).rejects.toMatchObject(
    exceeded,
  );
  expect(readdirSync(at('.')).sort()).toEqual(['a', 'c', 'd']);
  await operate('remove', { path: 'a', recursive: false });
  await write('b', bytes(3 * MEGABYTE));
});

test('a write that fails takes nothing from what is left', async () => {
  const { write } = openFiles({ limitBytes: 4 * MEGABYTE });
  for (let turn = 0; turn < 5; turn += 1) {
    await expect(write('a', bytes(3 * MEGABYTE), { sizeBytes: 3 * MEGABYTE + 1 })).rejects.toThrow();
  }
  await write('a', bytes(3 * MEGABYTE));
});

test.runIf(isRoot)('a full disk is file.no_space, and the old file stays', async () => {
  const places = makePlaces();
  mkdirSync(join(places.server, 'small'));
  const { write, read, at, operate } = openFiles({ places });
  run('mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', at('small'));
  onTestFinished(() => run('umount', at('small')));
  await write('small/a', 'old');
  await expect(write('small/a', bytes(3 * MEGABYTE))).rejects.toMatchObject({ code: 'file.no_space' });
  expect(String(await read('small/a'))).toBe('old');
  expect(readdirSync(at('small'))).toEqual(['a']);
  await expect(operate('remove', { path: 'small', recursive: true })).rejects.toMatchObject({
    code: 'file.busy',
  });
});

test('two servers whose directories begin alike neither see nor pay for each other', async () => {
  const places = makePlaces();
  const other = `${places.server}-2`;
  mkdirSync(other);
  const uuids: Record<string, string> = { [UUID]: places.server, [OTHER_UUID]: other };
  const service = createFileService({
    find(uuid) {
      const directory = uuids[uuid];
      return directory === undefined ? null : { directory, limitBytes: 4 * MEGABYTE };
    },
    owner,
    stateDirectory: join(places.root, 'state'),
    announce() {},
    pull: { allowedNetworks: [] },
    log: pino({ level: 'silent' }),
  });
  onTestFinished(async () => {
    await service.close();
    removePlaces(places);
  });
  const call = { signal: new AbortController().signal, connection: {} };
  const put = (uuid: string, path: string, megabytes: number) => {
    const sizeBytes = megabytes * MEGABYTE;
    return service.write(uuid, { path, replace: true, sizeBytes }, Readable.from([bytes(sizeBytes)]), call);
  };
  await put(UUID, 'a', 3);
  await put(OTHER_UUID, 'a', 3);
  await expect(put(UUID, 'b', 2)).rejects.toMatchObject(exceeded);
  const usage = await service.operate(OTHER_UUID, 'usage', {}, call);
  expect(usage.usedBytes).toBeLessThan(3.5 * MEGABYTE);
  symlinkSync('../server-2', join(places.server, 'link'));
  for (const path of ['../server-2/a', 'link/a', '-2/a'])
    await expect(service.operate(UUID, 'stat', { path, followLinks: true }, call), path).rejects.toThrow();
  await service.operate(UUID, 'remove', { path: 'a', recursive: false }, call);
  expect(readdirSync(other)).toEqual(['a']);
  await expect(put(OTHER_UUID, 'b', 2)).rejects.toMatchObject(exceeded);
});
