import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { CANARY, describeOutside, makePlaces } from '../helpers/path-tricks.js';
import { owner, UUID } from './files-harness.js';
import { isRoot } from './harness.js';
import { openUploads, sha256 } from './uploads-harness.js';

const content = Buffer.from('what was uploaded');
const notFound = { code: 'upload.not_found' };

const run = (tool: string, ...words: string[]) => void execFileSync(tool, words);

type Uploads = ReturnType<typeof openUploads>;
/** What a game may do to the hidden file of an upload: its directory is its own. */
const SWAPS: [string, (hidden: string, uploads: Uploads) => void][] = [
  ['removed', () => {}],
  ['another file', (hidden) => writeFileSync(hidden, 'its own')],
  ['a link to a file outside', (hidden, { places }) => symlinkSync(places.secret, hidden)],
  ['a link to a directory outside', (hidden, { places }) => symlinkSync(places.outside, hidden)],
  ['a link to the same file', (hidden) => symlinkSync(`${hidden}.away`, hidden)],
  ['a second name for the same file', (hidden) => linkSync(`${hidden}.away`, hidden)],
  ['a FIFO', (hidden) => run('mkfifo', hidden)],
  ['a directory', (hidden) => mkdirSync(hidden)],
];
if (isRoot) SWAPS.push(['a foreign file', (hidden, { places }) => linkSync(places.secret, hidden)]);

test.each(SWAPS)(
  'the hidden file becomes %s: the upload is gone, and nothing outside is touched',
  async (_what, swap) => {
    for (const use of ['find', 'put', 'finish', 'cancel'] as const) {
      const uploads = openUploads();
      const { begin, put, find, finish, cancel, hiddenOf, notes, places } = uploads;
      const upload = await begin('d/file', content.length);
      await put(upload.uploadId, 0, use === 'put' ? content.subarray(0, 4) : content);
      const hidden = hiddenOf(upload);
      renameSync(hidden, `${hidden}.away`);
      swap(hidden, uploads);
      const before = describeOutside(places);
      const calls = {
        find: () => find(upload.uploadId),
        put: () => put(upload.uploadId, 4, content.subarray(4)),
        finish: () => finish(upload.uploadId, sha256(content)),
        cancel: () => cancel(upload.uploadId),
      };
      if (use === 'cancel') expect(await calls.cancel()).toEqual({});
      else await expect(calls[use](), use).rejects.toMatchObject(notFound);
      expect(describeOutside(places), use).toBe(before);
      expect(notes(), use).toEqual([]);
      expect(readFileSync(join(places.server, 'd', 'file'), 'utf8'), use).toBe('inside');
      await expect(find(upload.uploadId)).rejects.toMatchObject(notFound);
    }
  },
);

test('the hidden file is removed in the middle of a part: no bytes are written that nobody can count', async () => {
  const { begin, put, hiddenOf, notes, find } = openUploads();
  const upload = await begin('new', 2 ** 30);
  const source = new PassThrough();
  const writing = put(upload.uploadId, 0, source);
  const ended = expect(writing).rejects.toMatchObject(notFound);
  source.write(Buffer.alloc(1024 * 1024));
  await eventually('the bytes are taken', () => source.readableLength === 0);
  rmSync(hiddenOf(upload));
  source.end(Buffer.alloc(1024 * 1024));
  await ended;
  await expect(find(upload.uploadId)).rejects.toMatchObject(notFound);
  expect(notes()).toEqual([]);
});

test.runIf(isRoot)('an installation that gives everything to the server does not end an upload', async () => {
  const { begin, put, finish, hiddenOf, read } = openUploads();
  const upload = await begin('new', content.length);
  await put(upload.uploadId, 0, content.subarray(0, 4));
  chownSync(hiddenOf(upload), owner?.uid ?? 0, owner?.gid ?? 0);
  await put(upload.uploadId, 4, content.subarray(4));
  await finish(upload.uploadId, sha256(content));
  expect(String(await read('new'))).toBe(String(content));
  const foreign = await begin('foreign', content.length);
  chownSync(hiddenOf(foreign), 12_345, 12_345);
  await expect(put(foreign.uploadId, 0, content)).rejects.toMatchObject(notFound);
});

test.runIf(isRoot)('set-user-id bits that the server gives it are gone when it is in its place', async () => {
  const { begin, put, finish, hiddenOf } = openUploads();
  const upload = await begin('new', content.length);
  await put(upload.uploadId, 0, content);
  chmodSync(hiddenOf(upload), 0o6777);
  expect(await finish(upload.uploadId)).toMatchObject({ mode: 0o644 });
});

test('a directory on the way is swapped for a link: the upload is refused, and stays', async () => {
  const { begin, put, finish, find, places, at } = openUploads();
  const upload = await begin('d/new', content.length);
  await put(upload.uploadId, 0, content);
  renameSync(at('d'), at('away'));
  symlinkSync(places.outside, at('d'));
  const before = describeOutside(places);
  await expect(finish(upload.uploadId)).rejects.toMatchObject({ code: 'file.outside' });
  expect(describeOutside(places)).toBe(before);
  expect(await find(upload.uploadId)).toMatchObject({ receivedBytes: content.length });
  rmSync(at('d'));
  expect(await finish(upload.uploadId)).toMatchObject({ name: 'new' });
});

test('cleaning up after an agent that was killed leaves uploads alone', async () => {
  const places = makePlaces();
  mkdirSync(join(places.root, 'state'));
  // As left by an agent that was just writing.
  writeFileSync(join(places.root, 'state', UUID), '');
  const leftover = join(places.server, `.catalyst-${'0'.repeat(12)}-1.part`);
  writeFileSync(leftover, CANARY);
  const { begin, put, service, find, hidden } = openUploads({ places });
  const upload = await begin('new', content.length);
  await put(upload.uploadId, 0, content);
  await service.cleanUp();
  expect(hidden()).toEqual([`.catalyst-upload-${upload.uploadId}`]);
  expect(await find(upload.uploadId)).toMatchObject({ receivedBytes: content.length });
});
