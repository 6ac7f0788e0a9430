import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import {
  answerOf,
  createFileRequests,
  type FileRequests,
  type FileServer,
  FORM_END,
  FORM_TYPE,
  openIn,
  partHead,
  textOf,
} from '../helpers/file-requests.js';
import { watchMemory } from '../helpers/memory.js';

const MB = 1024 * 1024;
const BIG_BYTES = 96 * MB;
/** What may be on its way at once between client, panel and agent, which are all in this process. */
const UNDER_WAY_MAX_BYTES = 48 * MB;

let panel: PanelWithDoors;
let node: FileNode;
let requests: FileRequests;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  node = await startFileNode(panel);
  const owner = await panel.createUser();
  const { id: templateId } = await panel.createTemplate();
  requests = createFileRequests(panel, { node, owner, templateId });
});

afterAll(async () => {
  await node.close();
  await panel.close();
});

function download(server: FileServer, path: string, headers: Record<string, string> = {}, method = 'GET') {
  return requests.ask(server, 'download', undefined, { method, headers, query: { path } });
}

test('a large file goes up and comes down in little memory', async () => {
  const server = await requests.makeServer();
  const block = randomBytes(MB);
  const hash = createHash('sha256');
  for (let sent = 0; sent < BIG_BYTES; sent += MB) hash.update(block);
  const expected = hash.digest('hex');

  const headers = { 'content-type': FORM_TYPE };
  const upload = requests.send(server, 'upload', { method: 'POST', headers, query: { path: '/' } });
  const usedByUpload = watchMemory(UNDER_WAY_MAX_BYTES);
  Readable.from(
    (function* () {
      yield partHead('file', 'big.bin');
      for (let sent = 0; sent < BIG_BYTES; sent += MB) yield block;
      yield FORM_END;
    })(),
    { objectMode: false },
  ).pipe(upload);
  const uploaded = await answerOf(upload);
  expect([uploaded.statusCode, await textOf(uploaded)]).toEqual([200, expect.any(String)]);
  expect(usedByUpload()).toBeLessThan(UNDER_WAY_MAX_BYTES);

  const usedByDownload = watchMemory(UNDER_WAY_MAX_BYTES);
  const call = requests.send(server, 'download', { query: { path: '/big.bin' } });
  call.end();
  const answer = await answerOf(call);
  const received = createHash('sha256');
  let bytes = 0;
  for await (const chunk of answer) {
    received.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  expect([bytes, received.digest('hex')]).toEqual([BIG_BYTES, expected]);
  expect(usedByDownload()).toBeLessThan(UNDER_WAY_MAX_BYTES);
}, 60_000);

test('downloads give ranges, answer conditions and tell HEAD the size', async () => {
  const server = await requests.makeServer();
  writeFileSync(server.inside('a.txt'), '0123456789');
  const whole = await download(server, '/a.txt');
  expect(whole).toMatchObject({ status: 200, text: '0123456789', headers: { 'content-length': '10' } });
  const etag = String(whole.headers.etag);
  const part = { status: 206, headers: { 'content-range': 'bytes 2-4/10', 'content-length': '3', etag } };
  expect(await download(server, '/a.txt', { range: 'bytes=2-4' })).toMatchObject({ ...part, text: '234' });
  expect((await download(server, '/a.txt', { range: 'bytes=-2' })).text).toBe('89');
  expect((await download(server, '/a.txt', { range: 'bytes=8-', 'if-range': '"old"' })).text).toHaveLength(
    10,
  );
  for (const range of ['bytes=10-', 'bytes=0-1,4-5', 'bytes=-0']) {
    const refused = await download(server, '/a.txt', { range });
    expect(refused).toMatchObject({ status: 416, headers: { 'content-range': 'bytes */10' } });
    expect(JSON.parse(refused.text).code).toBe('file.range_invalid');
  }
  const unchanged = await download(server, '/a.txt', { 'if-none-match': etag });
  expect(unchanged).toMatchObject({ status: 304, text: '', headers: { etag } });
  const head = await download(server, '/a.txt', { range: 'bytes=2-4' }, 'HEAD');
  expect(head).toMatchObject({ status: 200, text: '', headers: { 'content-length': '10', etag } });
  writeFileSync(server.inside('a.txt'), 'something else');
  expect((await download(server, '/a.txt', { 'if-none-match': etag })).text).toBe('something else');
});

test('downloads of an empty file and of names with anything in them work', async () => {
  const server = await requests.makeServer();
  const names: [string, string][] = [
    ['empty', 'attachment; filename="empty"'],
    ['Grüße "an" alle.txt', `attachment; filename="Gr__e _an_ alle.txt"; filename*=UTF-8''Gr%C3%BC`],
    ['two\nlines', `attachment; filename="two_lines"; filename*=UTF-8''two%0Alines`],
  ];
  for (const [name, disposition] of names) {
    writeFileSync(server.inside(name), '');
    const answer = await download(server, `/${name}`);
    expect(answer).toMatchObject({ status: 200, text: '', headers: { 'content-length': '0' } });
    expect(answer.headers['content-disposition']).toContain(disposition);
  }
});

test('downloads that nobody waits for any more end on the node', async () => {
  const server = await requests.makeServer();
  writeFileSync(server.inside('big.bin'), Buffer.alloc(BIG_BYTES));
  const used = watchMemory(UNDER_WAY_MAX_BYTES);
  const call = requests.send(server, 'download', { query: { path: '/big.bin' } });
  call.end();
  const answer = await answerOf(call);
  await once(answer, 'readable');
  // Nothing more is read now: what is on its way waits in the file.
  expect(openIn(server.directory)).toContain(server.inside('big.bin'));
  expect(used()).toBeLessThan(UNDER_WAY_MAX_BYTES);
  answer.destroy();
  await eventually('the file is closed', () => openIn(server.directory).length === 0);
});

test('downloads break off when the node goes away in the middle', async () => {
  const other = await startFileNode(panel);
  onTestFinished(() => other.close());
  const server = await requests.makeServer(other);
  writeFileSync(server.inside('big.bin'), Buffer.alloc(BIG_BYTES));
  const call = requests.send(server, 'download', { query: { path: '/big.bin' } });
  call.end();
  const answer = await answerOf(call);
  expect(answer.statusCode).toBe(200);
  await once(answer, 'readable');
  await other.stop();
  answer.resume();
  const [error] = await once(answer, 'error');
  expect(error).toMatchObject({ code: 'ECONNRESET' });
  expect(answer.complete).toBe(false);
  await eventually('the node is offline', async () => (await download(server, '/big.bin')).status === 503);
});
