import { readdirSync, readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
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
import type { TestUser } from '../helpers/panel.js';

const MB = 1024 * 1024;
const UPLOAD_MAX_MB = 100;

let panel: PanelWithDoors;
let node: FileNode;
let owner: TestUser;
let requests: FileRequests;

beforeAll(async () => {
  panel = await startPanelWithDoors({ settings: { FILE_UPLOAD_MAX_MB: String(UPLOAD_MAX_MB) } });
  node = await startFileNode(panel);
  owner = await panel.createUser();
  const { id: templateId } = await panel.createTemplate();
  requests = createFileRequests(panel, { node, owner, templateId });
});

afterAll(async () => {
  await node.close();
  await panel.close();
});

/** An upload whose form is written by hand. */
function startUpload(server: FileServer, query: Record<string, string> = {}) {
  return requests.send(server, 'upload', { method: 'POST', headers: { 'content-type': FORM_TYPE }, query });
}

async function uploadForm(server: FileServer, text: string, query: Record<string, string> = {}) {
  const call = startUpload(server, query);
  call.end(text);
  const answer = await answerOf(call);
  return { status: answer.statusCode, body: JSON.parse(await textOf(answer)) };
}

test('uploads take several files, whether the directory comes before, after or in the address', async () => {
  const server = await requests.makeServer();
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

test('uploads replace a file of the same name, and keep names as they are', async () => {
  const server = await requests.makeServer();
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
    `${partHead('path')}/\r\n${`${partHead('file', 'b')}x\r\n`.repeat(101)}${FORM_END.trimStart()}`,
    413,
  ],
])('an upload %s is refused, and nothing half is left', async (_which, text, status) => {
  const server = await requests.makeServer();
  const answer = await uploadForm(server, text);
  expect(answer).toMatchObject({ status, body: { code: expect.any(String) } });
  // Whole files may be there: those that came before what is wrong.
  await eventually('nothing half is left', () =>
    readdirSync(server.directory).every((name) => name === 'a' || name === 'b'),
  );
});

test('uploads of anything but a form are 415', async () => {
  const server = await requests.makeServer();
  const url = `/api/servers/${server.id}/files/upload`;
  expect((await panel.post(url, { path: '/' }, owner.token)).status).toBe(415);
  expect((await panel.post(url, undefined, owner.token)).status).toBe(415);
  const plain = await requests.post(server, 'upload', undefined, {
    headers: { 'content-type': 'text/plain' },
  });
  expect(plain).toMatchObject({
    status: 415,
    body: { message: expect.stringContaining('multipart/form-data') },
  });
  const headers = { 'content-type': 'multipart/form-data' };
  const call = requests.send(server, 'upload', { method: 'POST', headers });
  call.end('x');
  expect((await answerOf(call)).statusCode).toBe(400);
});

test('a path that is longer in bytes than in characters is not cut off', async () => {
  const server = await requests.makeServer();
  const path = `${`/${'世'.repeat(80)}/..`.repeat(47)}/end`;
  const call = requests.send(server, 'upload', { method: 'POST', headers: { 'content-type': FORM_TYPE } });
  call.end(`${partHead('path')}${path}\r\n${partHead('file', 'a')}bytes${FORM_END}`);
  expect((await answerOf(call)).statusCode).toBe(200);
  expect(readdirSync(server.directory)).toEqual(['end']);
});

test('uploads of a file that is too large are 413, which the client gets to read', async () => {
  const server = await requests.makeServer();
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

test('uploads that break off leave nothing', async () => {
  const server = await requests.makeServer();
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

test('uploads stop when the right is taken away before they end', async () => {
  const server = await requests.makeServer();
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

test('uploads of the same file at once leave one of them, as a whole', async () => {
  const server = await requests.makeServer();
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

test('files that wait for their directory are shown to nobody', async () => {
  const server = await requests.makeServer();
  const call = startUpload(server, {});
  call.write(`${partHead('file', 'first')}x\r\n${partHead('file', 'second')}`);
  const hidden = () => readdirSync(server.directory).filter((name) => name.startsWith('.catalyst-waiting-'));
  await eventually('the first waits', () => hidden().length > 0);
  for (const query of ['', '?after=.catalyst-waiting-']) {
    const { status, body } = await panel.get(`/api/servers/${server.id}/files${query}`, owner.token);
    expect([status, body.data]).toEqual([200, []]);
  }
  call.end(`\r\n${partHead('path')}/d${FORM_END}`);
  expect((await answerOf(call)).statusCode).toBe(200);
  expect(readdirSync(server.inside('d')).sort()).toEqual(['first', 'second']);
  expect(hidden()).toEqual([]);
});
