import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tarOf } from '../helpers/archive-records.js';
import { runSftp, scratch } from '../sftp/harness.js';
import { type FileStage, setFileStage, unfinishedIn } from './file-stage.js';
import {
  beginDownload,
  beginRequest,
  beginSftpDownload,
  beginSftpUpload,
  beginUpload,
  beginWork,
  type Transfer,
} from './file-transfers.js';
import { until } from './processes.js';

/** Clients learn of it by then. */
const NOTICE_MS = 20_000;
const LARGE_BYTES = 64 * 1024 * 1024;
/** Of nothing: it takes as long as it would of something. */
const SPARSE_BYTES = 4 * 1024 * 1024 * 1024;
/** Empty ones: to unpack them takes longer than to make the archive. */
const ARCHIVED_FILES = 40_000;
const DIRECTORIES = ['uploaded', 'put', 'packed', 'unpacked', 'parts'];
const PARTS = randomBytes(3_000_000);
/** Where an upload in parts is until all of it has come. */
const PARTIAL = /^\.catalyst-upload-/;

let stage: FileStage;

beforeAll(async () => {
  stage = await setFileStage();
}, 120_000);

afterAll(() => stage?.close());

/** Each transfer has a directory of its own, in which it alone can leave anything. */
async function prepare(local: string): Promise<string> {
  const { inside, user, filesUrl } = stage;
  for (const name of DIRECTORIES) {
    await user.must('PUT', `${filesUrl}/write`, { path: `/${name}/file`, content: 'of before' });
  }
  for (const file of [inside('large'), path.join(local, 'large')]) {
    writeFileSync(file, '');
    truncateSync(file, LARGE_BYTES);
  }
  writeFileSync(inside('sparse'), '');
  truncateSync(inside('sparse'), SPARSE_BYTES);
  const archived = Array.from({ length: ARCHIVED_FILES }, (_, index) => ({ name: `file-${index}` }));
  writeFileSync(inside('archive.tar'), tarOf(...archived));
  const request = { path: '/parts/file', sizeBytes: PARTS.length, replace: true };
  const begun = await user.must('POST', `${filesUrl}/uploads`, request);
  return `${filesUrl}/uploads/${begun.body.data.uploadId}`;
}

/** Everything that can be under way at once. */
async function beginAll(local: string, partsUrl: string): Promise<Transfer[]> {
  const { user, inside } = stage;
  const partBytes = 2_000_000;
  const download = beginDownload(stage, '/large');
  const transfers: Transfer[] = [
    download,
    beginUpload(stage, 'uploaded'),
    beginSftpUpload(stage, path.join(local, 'large'), 'put'),
    beginSftpDownload(stage, '/large', path.join(local, 'got')),
    {
      name: 'part of an upload',
      isUnderWay: () => [...unfinishedIn(inside())].some(([name, bytes]) => PARTIAL.test(name) && bytes > 0),
      outcome: beginRequest(user, {
        method: 'PATCH',
        path: `${partsUrl}?offset=0`,
        headers: { 'content-type': 'application/octet-stream' },
        sizeBytes: partBytes,
        beginning: PARTS.subarray(0, partBytes / 2),
      }),
    },
  ];
  for (const { name, isUnderWay } of transfers) await until(`the ${name} is under way`, isUnderWay);
  // These would end by themselves: what takes longer is begun first.
  const packing = { paths: ['/sparse'], archiveName: 'archive.tar.gz', targetPath: '/packed' };
  const unpacking = { archivePath: '/archive.tar', targetPath: '/unpacked' };
  for (const [work, body, directory] of [
    ['compress', packing, 'packed'],
    ['decompress', unpacking, 'unpacked'],
  ] as const) {
    const transfer = beginWork(stage, work, { body, directory });
    transfers.push(transfer);
    await until(`the ${work} is under way`, transfer.isUnderWay);
  }
  for (const { name, outcome } of transfers) {
    const state = await Promise.race([outcome, Promise.resolve('under way')]);
    expect([name, state]).toEqual([name, 'under way']);
  }
  // What has stood still in the client goes on, to whatever its end is.
  return transfers.map((transfer) =>
    transfer === download ? { ...download, outcome: settleAfter(download) } : transfer,
  );
}

function settleAfter({ goOn, outcome }: ReturnType<typeof beginDownload>): Promise<string | null> {
  goOn();
  return outcome;
}

test.each(['agent', 'panel'] as const)(
  'the %s is killed in the middle of everything: no client takes it for success, and nothing half done stays',
  async (victim) => {
    const { inside, user } = stage;
    const local = scratch();
    const partsUrl = await prepare(local);
    const transfers = await beginAll(local, partsUrl);
    await (victim === 'agent' ? stage.killAgent() : stage.killPanel());
    const late = new Promise<string>((resolve) => setTimeout(() => resolve('late'), NOTICE_MS).unref());
    for (const { name, outcome } of transfers) {
      const ended = await Promise.race([outcome, late]);
      expect([name, ended]).toEqual([name, expect.any(String)]);
      expect([name, ended]).not.toEqual([name, 'late']);
    }
    const expectAsBefore = () => {
      for (const name of DIRECTORIES) {
        expect([name, readFileSync(inside(name, 'file'), 'utf8')]).toEqual([name, 'of before']);
      }
      expect(existsSync(inside('packed/archive.tar.gz'))).toBe(false);
      expect(existsSync(inside('unpacked/file-1'))).toBe(false);
    };
    expectAsBefore();
    expect(statSync(path.join(local, 'got')).size).toBeLessThan(LARGE_BYTES);

    if (victim === 'agent') stage.startAgent();
    else await stage.startPanel();
    await stage.untilFilesAreReached();
    // An upload in parts is kept to be gone on with.
    await until('what was left is gone', () =>
      [...unfinishedIn(inside()).keys()].every((name) => PARTIAL.test(name)),
    );
    expectAsBefore();
    const found = await user.must('GET', partsUrl);
    const { receivedBytes } = found.body.data;
    expect(receivedBytes).toBeLessThanOrEqual(1_000_000);
    await everythingWorks(local, partsUrl, receivedBytes);
  },
  120_000,
);

async function everythingWorks(local: string, partsUrl: string, receivedBytes: number): Promise<void> {
  const { inside, login, user, filesUrl } = stage;
  const part = await fetch(`${user.url}${partsUrl}?offset=${receivedBytes}`, {
    method: 'PATCH',
    headers: { authorization: `Bearer ${user.token}`, 'content-type': 'application/octet-stream' },
    body: PARTS.subarray(receivedBytes),
  });
  expect(part.status, await part.text()).toBe(200);
  const sha256 = createHash('sha256').update(PARTS).digest('hex');
  await user.must('POST', `${partsUrl}/finish`, { sha256 });
  expect(readFileSync(inside('parts/file')).equals(PARTS)).toBe(true);
  const content = randomBytes(200_000);
  writeFileSync(path.join(local, 'new'), content);
  const put = await runSftp(login, [`put ${local}/new /put/file`, `get /put/file ${local}/back`]);
  expect(put).toMatchObject({ code: 0 });
  expect(readFileSync(path.join(local, 'back')).equals(content)).toBe(true);
  const form = new FormData();
  form.append('path', '/uploaded');
  form.append('file', new File([content], 'file'));
  const headers = { authorization: `Bearer ${user.token}` };
  const uploaded = await fetch(`${user.url}${filesUrl}/upload`, { method: 'POST', headers, body: form });
  expect(uploaded.status, await uploaded.text()).toBe(200);
  const downloaded = await fetch(`${user.url}${filesUrl}/download?path=/uploaded/file`, { headers });
  expect(Buffer.from(await downloaded.arrayBuffer()).equals(content)).toBe(true);
  const packing = { paths: ['/put'], archiveName: 'small.tar.gz', targetPath: '/packed' };
  await user.must('POST', `${filesUrl}/compress`, packing);
  await user.must('POST', `${filesUrl}/decompress`, {
    archivePath: '/packed/small.tar.gz',
    targetPath: '/again',
  });
  expect(readFileSync(inside('again/put/file')).equals(content)).toBe(true);
  expect(unfinishedIn(inside())).toEqual(new Map());
  for (const name of readdirSync(inside())) await user.must('DELETE', `${filesUrl}?path=/${name}`);
}
