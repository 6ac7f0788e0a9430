import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type PartialUpload, UPLOADS_PER_SERVER_MAX } from '../../src/protocol/data-plane.js';
import { openUploads } from './uploads-harness.js';

const busy = { code: 'file.busy' };

async function beginMany(count: number) {
  const files = openUploads();
  const uploads: PartialUpload[] = [];
  while (uploads.length < count) uploads.push(await files.begin(`${uploads.length}`, 1));
  return { ...files, uploads };
}

test('of two uploads that begin at once where there is room for one, one begins', async () => {
  const { begin, notes, hidden } = await beginMany(UPLOADS_PER_SERVER_MAX - 1);
  const outcomes = await Promise.allSettled([begin('one', 1), begin('other', 1)]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  expect(refused).toEqual([expect.objectContaining(busy)]);
  expect([notes().length, hidden().length]).toEqual([UPLOADS_PER_SERVER_MAX, UPLOADS_PER_SERVER_MAX]);
});

test('an upload that has expired makes room for another, and its bytes go', async () => {
  const { begin, uploads, find, notes, hidden, noteOf } = await beginMany(UPLOADS_PER_SERVER_MAX);
  await expect(begin('more', 1)).rejects.toMatchObject(busy);
  const [expired] = uploads;
  if (expired === undefined) throw new Error('there are many');
  const note = JSON.parse(readFileSync(noteOf(expired), 'utf8'));
  writeFileSync(noteOf(expired), JSON.stringify({ ...note, expiresAtMs: Date.now() - 1 }));
  await begin('more', 1);
  await expect(find(expired.uploadId)).rejects.toMatchObject({ code: 'upload.not_found' });
  await expect(begin('one more', 1)).rejects.toMatchObject(busy);
  expect([notes().length, hidden().length]).toEqual([UPLOADS_PER_SERVER_MAX, UPLOADS_PER_SERVER_MAX]);
});
