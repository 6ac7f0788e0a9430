import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runSftp, scratch } from '../sftp/harness.js';
import { nodeIsOnline } from './api.js';
import { type FileStage, setFileStage, unfinishedIn } from './file-stage.js';
import { temporaryDirectory } from './processes.js';

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('only root can make a small disk: the test of a full one is skipped');

const DISK = '64m';
const MEGABYTE = 1024 * 1024;
const TOO_LARGE_BYTES = 80 * MEGABYTE;
const NO_SPACE = {
  statusCode: 507,
  code: 'file.no_space',
  message: expect.stringMatching(/disk .* is full/),
};

const run = (tool: string, ...words: string[]) => void execFileSync(tool, words);

let stage: FileStage;
let disk: ReturnType<typeof temporaryDirectory>;

describe.runIf(isRoot)('a node whose disk is full', () => {
  beforeAll(async () => {
    disk = temporaryDirectory();
    run('mount', '-t', 'tmpfs', '-o', `size=${DISK},mode=711`, 'tmpfs', disk.path);
    stage = await setFileStage({ agentDirectory: disk.path });
  }, 120_000);

  afterAll(async () => {
    await stage?.close();
    run('umount', '--lazy', disk.path);
    disk.remove();
  });

  const freeBytes = () => {
    const { bavail, bsize } = statfsSync(disk.path);
    return bavail * bsize;
  };

  async function upload(name: string, content: Buffer) {
    const { user, filesUrl } = stage;
    const form = new FormData();
    form.append('path', '/');
    form.append('file', new File([content], name));
    const headers = { authorization: `Bearer ${user.token}` };
    const answer = await fetch(`${user.url}${filesUrl}/upload`, { method: 'POST', headers, body: form });
    return { status: answer.status, body: await answer.json() };
  }

  /** Of one file of nothing, and so small that there is room for it. */
  function makeArchive(local: string): Buffer {
    writeFileSync(path.join(local, 'huge'), '');
    truncateSync(path.join(local, 'huge'), TOO_LARGE_BYTES);
    return gzipSync(
      execFileSync('tar', ['-C', local, '-cf', '-', 'huge'], { maxBuffer: 2 * TOO_LARGE_BYTES }),
    );
  }

  async function uploadInParts(sizeBytes: number) {
    const { user, filesUrl } = stage;
    const request = { path: '/in-parts', sizeBytes, replace: true };
    const begun = await user.call('POST', `${filesUrl}/uploads`, request);
    if (begun.status >= 300) return begun;
    const url = `${filesUrl}/uploads/${begun.body.data.uploadId}`;
    const answer = await fetch(`${user.url}${url}?offset=0`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${user.token}`, 'content-type': 'application/octet-stream' },
      body: Buffer.alloc(sizeBytes),
    });
    const body = await answer.json();
    await user.must('DELETE', url);
    return { status: answer.status, body };
  }

  test('says so whatever is brought, keeps what it has, and goes on when there is room again', async () => {
    const { user, admin, filesUrl, login, inside } = stage;
    const local = scratch();
    const old = randomBytes(3 * MEGABYTE);
    for (const name of ['put', 'uploaded', 'in-parts']) {
      expect((await upload(name, old)).status).toBe(200);
    }
    expect((await upload('archive.tar.gz', makeArchive(local))).status).toBe(200);
    const before = freeBytes();
    const names = readdirSync(inside()).sort();

    const put = await runSftp(login, [`put ${local}/huge put`]);
    expect(put.code).not.toBe(0);
    expect(put.stderr).toMatch(/disk .* is full/);
    const attempts: [string, () => Promise<{ status: number; body: unknown }>][] = [
      ['uploaded', () => upload('uploaded', Buffer.alloc(TOO_LARGE_BYTES))],
      ['in parts', () => uploadInParts(TOO_LARGE_BYTES)],
      ['unpacked', () => user.call('POST', `${filesUrl}/decompress`, { archivePath: '/archive.tar.gz' })],
    ];
    for (const [name, attempt] of attempts) {
      const { status, body } = await attempt();
      expect([name, status, body]).toEqual([name, 507, expect.objectContaining(NO_SPACE)]);
      expect(unfinishedIn(inside()), name).toEqual(new Map());
      expect(readdirSync(inside()).sort(), name).toEqual(names);
      // But for what the agent notes for itself.
      expect(freeBytes(), name).toBeGreaterThan(before - MEGABYTE);
    }
    for (const name of ['put', 'uploaded', 'in-parts']) {
      expect(readFileSync(inside(name)).equals(old), name).toBe(true);
    }

    // The last byte is the game's: the agent lives on, and shows what there is.
    execFileSync('sh', ['-c', `cat /dev/zero > '${inside('filler')}' || true`], { stdio: 'ignore' });
    expect(freeBytes()).toBe(0);
    expect(await upload('new', Buffer.from('new'))).toMatchObject({ status: 507, body: NO_SPACE });
    const packing = { paths: ['/put'], archiveName: 'packed.zip', targetPath: '/' };
    expect(await user.call('POST', `${filesUrl}/compress`, packing)).toMatchObject({ body: NO_SPACE });
    expect((await runSftp(login, ['mkdir d', `put ${local}/huge d/huge`])).code).not.toBe(0);
    const got = await runSftp(login, [`get put ${local}/got`, 'rename put moved', 'rename moved put']);
    expect(got).toMatchObject({ code: 0 });
    expect(readFileSync(path.join(local, 'got')).equals(old)).toBe(true);
    await user.must('DELETE', `${filesUrl}?path=/filler`);

    expect((await upload('new', Buffer.from('new'))).status).toBe(200);
    writeFileSync(path.join(local, 'small'), 'small');
    expect(await runSftp(login, [`put ${local}/small put`])).toMatchObject({ code: 0 });
    expect(readFileSync(inside('put'), 'utf8')).toBe('small');
    expect(unfinishedIn(inside())).toEqual(new Map());
    await nodeIsOnline(admin, (await admin.must('GET', '/api/nodes')).body.data[0].id);
  }, 120_000);
});
