import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

const MB = 1024 * 1024;
const UPLOAD_MAX_MB = 100;
const BIG_BYTES = 96 * MB;
/** What may be on its way at once between client, panel and agent, which are all in this process. */
const UNDER_WAY_MAX_BYTES = 48 * MB;

let panel: PanelWithDoors;
let node: FileNode;
let owner: TestUser;
let templateId: string;

beforeAll(async () => {
  panel = await startPanelWithDoors({ settings: { FILE_UPLOAD_MAX_MB: String(UPLOAD_MAX_MB) } });
  node = await startFileNode(panel);
  owner = await panel.createUser();
  templateId = (await panel.createTemplate()).id;
});

afterAll(async () => {
  await node.close();
  await panel.close();
});

async function makeServer(onNode: FileNode = node) {
  const server = await insertServer(panel, { nodeId: onNode.id, ownerId: owner.id, templateId });
  const directory = await onNode.install(server);
  return { ...server, directory, inside: (name: string) => join(directory, name) };
}

type Server = Awaited<ReturnType<typeof makeServer>>;

function send(server: Server, route: string, { method = 'GET', headers = {}, query = {} } = {}) {
  return request({
    port: panel.port,
    host: '127.0.0.1',
    path: `/api/servers/${server.id}/files/${route}?${new URLSearchParams(query)}`,
    method,
    headers: { authorization: `Bearer ${owner.token}`, ...headers },
  });
}

async function answerOf(call: ReturnType<typeof request>): Promise<IncomingMessage> {
  const [answer] = (await once(call, 'response')) as [IncomingMessage];
  return answer;
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

async function download(server: Server, path: string, headers: Record<string, string> = {}, method = 'GET') {
  const call = send(server, 'download', { method, headers, query: { path } });
  call.end();
  const answer = await answerOf(call);
  return { status: answer.statusCode, headers: answer.headers, text: await textOf(answer) };
}

const BOUNDARY = 'a-boundary';

function partHead(name: string, fileName?: string): string {
  const file = fileName === undefined ? '' : `; filename="${fileName}"`;
  return `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`;
}

const FORM_END = `\r\n--${BOUNDARY}--\r\n`;

/** An upload whose form is written by hand. */
function startUpload(server: Server, query: Record<string, string> = {}) {
  const headers = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };
  return send(server, 'upload', { method: 'POST', headers, query });
}

async function uploadForm(server: Server, text: string, query: Record<string, string> = {}) {
  const call = startUpload(server, query);
  call.end(text);
  const answer = await answerOf(call);
  return { status: answer.statusCode, body: JSON.parse(await textOf(answer)) };
}

/** Files of the directory that this process, which the agent is in, has open. */
function openIn(directory: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${descriptor}`);
      return path.startsWith(directory) ? [path] : [];
    } catch {
      return [];
    }
  });
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** The most memory for bytes that was in use since, beyond what was at first. */
function watchMemory(): () => number {
  const used = () => process.memoryUsage().arrayBuffers;
  collectGarbage();
  const first = used();
  let most = 0;
  const timer = setInterval(() => {
    // What nobody holds any more does not count, but to find that out takes long.
    if (used() - first > UNDER_WAY_MAX_BYTES) collectGarbage();
    most = Math.max(most, used() - first);
  }, 5);
  onTestFinished(() => clearInterval(timer));
  return () => most;
}

test('a large file goes up and comes down in little memory', async () => {
  const server = await makeServer();
  const block = randomBytes(MB);
  const hash = createHash('sha256');
  for (let sent = 0; sent < BIG_BYTES; sent += MB) hash.update(block);
  const expected = hash.digest('hex');

  const upload = startUpload(server, { path: '/' });
  const usedByUpload = watchMemory();
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

  const usedByDownload = watchMemory();
  const call = send(server, 'download', { query: { path: '/big.bin' } });
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

describe('downloads', () => {
  test('give ranges, answer conditions and tell HEAD the size', async () => {
    const server = await makeServer();
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

  test('of an empty file and of names with anything in them work', async () => {
    const server = await makeServer();
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

  test('that nobody waits for any more end on the node', async () => {
    const server = await makeServer();
    writeFileSync(server.inside('big.bin'), Buffer.alloc(BIG_BYTES));
    const used = watchMemory();
    const call = send(server, 'download', { query: { path: '/big.bin' } });
    call.end();
    const answer = await answerOf(call);
    await once(answer, 'readable');
    // Nothing more is read now: what is on its way waits in the file.
    expect(openIn(server.directory)).toContain(server.inside('big.bin'));
    expect(used()).toBeLessThan(UNDER_WAY_MAX_BYTES);
    answer.destroy();
    await eventually('the file is closed', () => openIn(server.directory).length === 0);
  });

  test('break off when the node goes away in the middle', async () => {
    const other = await startFileNode(panel);
    onTestFinished(() => other.close());
    const server = await makeServer(other);
    writeFileSync(server.inside('big.bin'), Buffer.alloc(BIG_BYTES));
    const call = send(server, 'download', { query: { path: '/big.bin' } });
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
});

describe('uploads', () => {
  test('take several files, whether the directory comes before, after or in the address', async () => {
    const server = await makeServer();
    const files = `${partHead('file', 'a.txt')}one\r\n${partHead('file', 'b.txt')}two`;
    const done = { status: 200, body: { success: true, message: '2 files uploaded successfully' } };
    const path = (directory: string) => `${partHead('path')}${directory}`;
    expect(await uploadForm(server, `${path('/before')}\r\n${files}${FORM_END}`)).toEqual(done);
    expect(await uploadForm(server, `${files}\r\n${path('/after')}${FORM_END}`)).toEqual(done);
    expect(await uploadForm(server, `${files}${FORM_END}`, { path: '/address/of/it' })).toEqual(done);
    expect(readdirSync(server.directory).sort()).toEqual(['address', 'after', 'before']);
    for (const directory of ['before', 'after', 'address/of/it']) {
      expect(readFileSync(server.inside(`${directory}/a.txt`), 'utf8')).toBe('one');
      expect(readFileSync(server.inside(`${directory}/b.txt`), 'utf8')).toBe('two');
    }
  });

  test('replace a file of the same name, and keep names as they are', async () => {
    const server = await makeServer();
    const names = ['Grüße.txt', 'say "hi".txt', 'two\nlines.txt', '-rf', '.hidden', 'a b'];
    for (const content of ['first', 'second']) {
      const form = new FormData();
      form.append('path', '/');
      for (const name of names) form.append('file', new File([content], name));
      const url = `/api/servers/${server.id}/files/upload`;
      expect((await panel.post(url, form, owner.token)).status).toBe(200);
    }
    expect(readdirSync(server.directory).sort()).toEqual([...names].sort());
    for (const name of names) expect(readFileSync(server.inside(name), 'utf8')).toBe('second');
  });

  test.each([
    ['without a file', `${partHead('path')}/${FORM_END}`, 400],
    ['without a directory', `${partHead('file', 'a')}x${FORM_END}`, 400],
    ['with a name that leads out', `${partHead('path')}/\r\n${partHead('file', '..')}x${FORM_END}`, 400],
    ['without a name', `${partHead('path')}/\r\n${partHead('file', '')}x${FORM_END}`, 400],
    ['into a directory outside', `${partHead('file', 'a')}x\r\n${partHead('path')}/../b${FORM_END}`, 400],
    ['with a field of another name', `${partHead('path')}/\r\n${partHead('files', 'a')}x${FORM_END}`, 400],
    [
      'into two directories',
      `${partHead('path')}/\r\n${partHead('file', 'a')}x\r\n${partHead('path')}/b${FORM_END}`,
      400,
    ],
    ['with a name of a prototype', `${partHead('path')}/\r\n${partHead('__proto__')}x${FORM_END}`, 400],
    ['cut off in a file', `${partHead('path')}/\r\n${partHead('file', 'cut')}xxxx`, 400],
    ['that is no form', 'nothing of the kind', 400],
    [
      'of too many files',
      `${partHead('path')}/\r\n${`${partHead('file', 'b')}x\r\n`.repeat(101)}--${BOUNDARY}--\r\n`,
      413,
    ],
  ])('%s are refused, and nothing half is left', async (_which, text, status) => {
    const server = await makeServer();
    const answer = await uploadForm(server, text);
    expect(answer).toMatchObject({ status, body: { code: expect.any(String) } });
    // Whole files may be there: those that came before what is wrong.
    await eventually('nothing half is left', () =>
      readdirSync(server.directory).every((name) => name === 'a' || name === 'b'),
    );
  });

  test('of anything but a form are 415', async () => {
    const server = await makeServer();
    const url = `/api/servers/${server.id}/files/upload`;
    expect((await panel.post(url, { path: '/' }, owner.token)).status).toBe(415);
    expect((await panel.post(url, undefined, owner.token)).status).toBe(415);
    const headers = { 'content-type': 'multipart/form-data' };
    const call = send(server, 'upload', { method: 'POST', headers });
    call.end('x');
    expect((await answerOf(call)).statusCode).toBe(400);
  });

  test('of a file that is too large are 413, which the client gets to read', async () => {
    const server = await makeServer();
    const call = startUpload(server, { path: '/' });
    const block = Buffer.alloc(MB);
    Readable.from(
      (function* () {
        yield partHead('file', 'huge.bin');
        for (let sent = 0; sent < UPLOAD_MAX_MB + 20; sent += 1) yield block;
        yield FORM_END;
      })(),
      { objectMode: false },
    ).pipe(call);
    const answer = await answerOf(call);
    expect(JSON.parse(await textOf(answer))).toMatchObject({
      statusCode: 413,
      code: 'file.too_large',
      message: `A file can have ${UPLOAD_MAX_MB} MB at most.`,
    });
    await eventually('nothing is left', () => readdirSync(server.directory).length === 0);
  }, 60_000);

  test('that break off leave nothing', async () => {
    const server = await makeServer();
    for (const path of ['/', null]) {
      const call = startUpload(server, path === null ? {} : { path });
      call.on('error', () => {});
      call.write(partHead('file', 'half.bin'));
      call.write(Buffer.alloc(2 * MB));
      await eventually('bytes are on the node', () => openIn(server.directory).length > 0);
      call.destroy();
      await eventually('nothing is left', () => readdirSync(server.directory).length === 0);
      await eventually('nothing is open', () => openIn(server.directory).length === 0);
    }
  });

  test('remove what a panel that was killed has left behind', async () => {
    const server = await makeServer();
    for (const name of ['.catalyst-waiting-old', '.catalyst-waiting-new', '.catalyst-other']) {
      writeFileSync(server.inside(name), 'x');
    }
    utimesSync(server.inside('.catalyst-waiting-old'), 1, 1);
    utimesSync(server.inside('.catalyst-other'), 1, 1);
    const text = `${partHead('file', 'a')}x\r\n${partHead('path')}/d${FORM_END}`;
    expect((await uploadForm(server, text)).status).toBe(200);
    expect(readdirSync(server.directory).sort()).toEqual(['.catalyst-other', '.catalyst-waiting-new', 'd']);
  });

  test('stop when the right is taken away before they end', async () => {
    const server = await makeServer();
    const call = startUpload(server, { path: '/' });
    call.write(partHead('file', 'late.bin'));
    call.write(Buffer.alloc(MB));
    await eventually('bytes are on the node', () => openIn(server.directory).length > 0);
    await panel.context.database.prisma.server.update({
      where: { id: server.id },
      data: { suspendedAt: new Date() },
    });
    call.end(FORM_END);
    expect((await answerOf(call)).statusCode).toBe(423);
    await eventually('nothing is left', () => readdirSync(server.directory).length === 0);
  });

  test('of the same file at once leave one of them, as a whole', async () => {
    const server = await makeServer();
    const contents = ['a', 'b', 'c'].map((letter) => letter.repeat(3 * MB));
    const answers = await Promise.all(
      contents.map((content) =>
        uploadForm(server, `${partHead('file', 'same.bin')}${content}${FORM_END}`, { path: '/' }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(readdirSync(server.directory)).toEqual(['same.bin']);
    expect(contents).toContain(readFileSync(server.inside('same.bin'), 'utf8'));
  });
});
