import { readdirSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { type AtCloseFiles, openAtClose } from './at-close-harness.js';
import { UUID } from './files-harness.js';

const MEGABYTE = 1024 * 1024;
const OLD = { 'd/': '', 'd/file': 'inside' };

/** A file whose client is lost in the middle of an upload, which nobody has noticed yet. */
async function beginAndVanish(files: AtCloseFiles, path: string) {
  const handle = await files.begin(path);
  await files.put(handle, 'half of');
  return handle;
}

async function uploadAnew({ begin, put, close }: AtCloseFiles, path: string) {
  const handle = await begin(path);
  await put(handle, 'all of it');
  await close(handle);
}

async function uploadInParts({ operate, service, call }: AtCloseFiles, path: string) {
  const { uploadId } = await operate('begin-upload', { path, replace: true, sizeBytes: 9 });
  const source = Readable.from([Buffer.from('all of it')]);
  await service.writeUpload(UUID, { uploadId, offset: 0 }, source, call);
  await operate('finish-upload', { uploadId });
}

test.each(['d/file', 'new'])('what came of %s stays when nothing newer is under its name', async (path) => {
  const files = openAtClose();
  const handle = await beginAndVanish(files, path);
  expect(await files.abandon(handle)).toEqual({ isDropped: false });
  expect(files.onDisk()).toEqual({ ...OLD, [path]: 'half of' });
});

const NEWER: [string, (files: AtCloseFiles, path: string) => Promise<unknown>][] = [
  ['another upload that is closed', uploadAnew],
  ['an upload by the other door', ({ write }, path) => write(path, 'all of it')],
  ['an upload in parts', uploadInParts],
  ['what the game writes', async ({ at }, path) => writeFileSync(at(path), 'all of it')],
  [
    'what was renamed to it',
    async (files, path) => {
      await uploadAnew(files, `${path}.part`);
      await files.operate('rename', { from: `${path}.part`, to: path, replace: true });
    },
  ],
];

test.each(NEWER)('%s is not replaced by what an abandoned upload has brought', async (_what, makeNewer) => {
  for (const path of ['d/file', 'new']) {
    const files = openAtClose();
    const handle = await beginAndVanish(files, path);
    await makeNewer(files, path);
    await files.abandon(handle);
    expect(files.onDisk()).toEqual({ ...OLD, [path]: 'all of it' });
    expect(readdirSync(files.at('.')).filter((name) => name.startsWith('.'))).toEqual([]);
  }
});

test.each(NEWER.slice(0, 3))(
  '%s is met at once, and replaced by who closes his file',
  async (_what, makeNewer) => {
    const files = openAtClose();
    const handle = await beginAndVanish(files, 'd/file');
    await makeNewer(files, 'd/file');
    expect(String(await files.read('d/file'))).toBe('all of it');
    expect(await files.close(handle)).toEqual({ isDropped: false });
    expect(files.onDisk()).toEqual({ ...OLD, 'd/file': 'half of' });
  },
);

test('an abandoned upload gives way to one that is under way, whatever becomes of that', async () => {
  const files = openAtClose({ limitBytes: 4 * MEGABYTE });
  const { begin, put, close, abandon, onDisk } = files;
  const vanished = await begin('d/file');
  await put(vanished, Buffer.alloc(3 * MEGABYTE));
  const again = await begin('d/file');
  expect(await abandon(vanished)).toEqual({ isDropped: true });
  // Its room is free again.
  await put(again, Buffer.alloc(3 * MEGABYTE));
  await close(again, true);
  expect(onDisk()).toEqual(OLD);
});

test('what is older, closed meanwhile, does not keep an abandoned upload away', async () => {
  const files = openAtClose();
  const { begin, put, close, abandon, onDisk } = files;
  const older = await begin('d/file');
  await put(older, 'older');
  const vanished = await beginAndVanish(files, 'd/file');
  await close(older);
  expect(onDisk()['d/file']).toBe('older');
  expect(await abandon(vanished)).toEqual({ isDropped: false });
  expect(onDisk()).toEqual({ ...OLD, 'd/file': 'half of' });
});

test('renamed while it was written, it stays under its new name unless something newer is there', async () => {
  for (const isNewer of [false, true]) {
    const files = openAtClose();
    await files.write('new', 'old');
    const handle = await beginAndVanish(files, 'new.part');
    await files.operate('rename', { from: 'new.part', to: 'new', replace: true });
    if (isNewer) await uploadAnew(files, 'new');
    expect(await files.abandon(handle)).toEqual({ isDropped: isNewer });
    expect(files.onDisk()).toEqual({ ...OLD, new: isNewer ? 'all of it' : 'half of' });
  }
});
