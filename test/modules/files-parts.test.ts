import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { ClientRequest } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import {
  answerOf,
  createFileRequests,
  type FileRequests,
  type FileServer,
  openIn,
} from '../helpers/file-requests.js';

const MB = 1024 * 1024;

let panel: PanelWithDoors;
let node: FileNode;
let requests: FileRequests;

beforeAll(async () => {
  panel = await startPanelWithDoors({ settings: { FILE_UPLOAD_MAX_MB: '2' } });
  node = await startFileNode(panel);
  const owner = await panel.createUser();
  const { id: templateId } = await panel.createTemplate();
  requests = createFileRequests(panel, { node, owner, templateId });
});

afterAll(async () => {
  await node.close();
  await panel.close();
});

const OCTETS = 'application/octet-stream';
const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

async function begin(server: FileServer, fields: object): Promise<string> {
  const answer = await requests.post(server, 'uploads', { path: '/big.bin', ...fields });
  expect(answer, answer.text).toMatchObject({ status: 201, headers: { 'upload-offset': '0' } });
  return answer.body.data.uploadId;
}

function send(server: FileServer, uploadId: string, offset: number | string, bytes: Buffer) {
  const query = { offset: String(offset) };
  return requests.ask(server, `uploads/${uploadId}`, bytes, { method: 'PATCH', query });
}

/** Begins to send a part, until some of it is on the node's disk. */
async function sendHalf(server: FileServer, uploadId: string, content: Buffer): Promise<ClientRequest> {
  const headers = { 'content-type': OCTETS, 'content-length': content.length };
  const query = { offset: '0' };
  const call = requests.send(server, `uploads/${uploadId}`, { method: 'PATCH', headers, query });
  call.on('error', () => {});
  call.write(content.subarray(0, content.length / 2));
  await eventually('something has come', () =>
    openIn(server.directory).some((path) => statSync(path).size > 0),
  );
  return call;
}

const find = (server: FileServer, uploadId: string) => requests.ask(server, `uploads/${uploadId}`);

test('a file that comes in parts is there when it is finished, and not before', async () => {
  const server = await requests.makeServer();
  const content = randomBytes(3 * MB);
  const uploadId = await begin(server, { path: '/mods/big.bin', sizeBytes: content.length });
  const first = await send(server, uploadId, 0, content.subarray(0, 2 * MB));
  expect(first).toMatchObject({
    status: 200,
    headers: { 'upload-offset': String(2 * MB) },
    body: {
      success: true,
      data: { uploadId, path: '/mods/big.bin', sizeBytes: 3 * MB, receivedBytes: 2 * MB },
    },
  });
  expect(Date.parse(first.body.data.expiresAt)).toBeGreaterThan(Date.now());
  const early = await requests.post(server, `uploads/${uploadId}/finish`);
  expect(early).toMatchObject({ status: 409, body: { code: 'upload.incomplete' } });
  const head = await requests.ask(server, `uploads/${uploadId}`, undefined, { method: 'HEAD' });
  expect(head).toMatchObject({ status: 200, text: '', headers: { 'upload-offset': String(2 * MB) } });
  expect((await requests.ask(server, 'uploads')).body.data).toMatchObject([{ uploadId }]);

  expect((await send(server, uploadId, 2 * MB, content.subarray(2 * MB))).status).toBe(200);
  const sha256 = hashOf(content).toUpperCase();
  const finished = await requests.post(server, `uploads/${uploadId}/finish`, { sha256 });
  expect(finished).toMatchObject({ status: 200, body: { data: { name: 'big.bin', size: 3 * MB } } });
  expect(readFileSync(server.inside('mods/big.bin')).equals(content)).toBe(true);
  expect((await find(server, uploadId)).status).toBe(404);
  const rows = await panel.context.database.prisma.auditLog.findMany({ where: { serverId: server.id } });
  expect(rows.map(({ action }) => action).sort()).toEqual(['file.upload', 'file.upload_begin']);
});

test('a part that is cut off is not lost, and the upload goes on from there', async () => {
  const server = await requests.makeServer();
  const content = randomBytes(2 * MB);
  const uploadId = await begin(server, { sizeBytes: content.length });
  const call = await sendHalf(server, uploadId, content);
  call.destroy();
  const offset = await eventually('some of it has been kept', async () => {
    const { body } = await find(server, uploadId);
    return body.data.receivedBytes as number;
  });
  const rest = await send(server, uploadId, offset, content.subarray(offset));
  expect(rest, rest.text).toMatchObject({ status: 200, body: { data: { receivedBytes: content.length } } });
  expect(
    (await requests.post(server, `uploads/${uploadId}/finish`, { sha256: hashOf(content) })).status,
  ).toBe(200);
  expect(readFileSync(server.inside('big.bin')).equals(content)).toBe(true);
});

test('a node that is lost in the middle goes on with the upload when it is back', async () => {
  const server = await requests.makeServer();
  const content = randomBytes(2 * MB);
  const uploadId = await begin(server, { sizeBytes: content.length });
  const answer = answerOf(await sendHalf(server, uploadId, content));
  panel.context.agents.connection(node.id)?.close(1001, 'away');
  expect((await answer).statusCode).toBe(503);
  const offset = await eventually('the node is back, and has kept some of it', async () => {
    const { status, body } = await find(server, uploadId);
    return status === 200 && (body.data.receivedBytes as number);
  });
  expect((await send(server, uploadId, offset, content.subarray(offset))).status).toBe(200);
  expect((await requests.post(server, `uploads/${uploadId}/finish`, {})).status).toBe(200);
  expect(readFileSync(server.inside('big.bin')).equals(content)).toBe(true);
});

test('what does not fit is refused, and the connection stays usable for those who read', async () => {
  const server = await requests.makeServer();
  const uploadId = await begin(server, { sizeBytes: 10 * MB });
  const cases = [
    [await send(server, uploadId, 5, Buffer.from('x')), 409, 'upload.offset_mismatch'],
    [await send(server, uploadId, 0, Buffer.alloc(2 * MB + 1)), 413, 'file.too_large'],
    [await send(server, uploadId, '', Buffer.from('x')), 400, 'request.invalid'],
    [await send(server, uploadId, -1, Buffer.from('x')), 400, 'request.invalid'],
    [await send(server, randomUUID(), 0, Buffer.from('x')), 404, 'upload.not_found'],
    [await send(server, 'nothing', 0, Buffer.from('x')), 404, 'upload.not_found'],
    [
      await requests.ask(server, `uploads/${uploadId}`, {}, { method: 'PATCH', query: { offset: '0' } }),
      415,
      'request.unsupported_media_type',
    ],
    [await find(await requests.makeServer(), uploadId), 404, 'upload.not_found'],
  ] as const;
  for (const [answer, status, code] of cases)
    expect(answer, answer.text).toMatchObject({ status, body: { code } });
});

test('bytes that are others than were sent are 400, and nothing is in the file', async () => {
  const server = await requests.makeServer();
  const uploadId = await begin(server, { sizeBytes: 3 });
  await send(server, uploadId, 0, Buffer.from('abc'));
  const sha256 = hashOf(Buffer.from('abd'));
  expect(await requests.post(server, `uploads/${uploadId}/finish`, { sha256 })).toMatchObject({
    status: 400,
    body: { code: 'upload.checksum_mismatch' },
  });
  expect(readdirSync(server.directory)).not.toContain('big.bin');
});

test('a file that is there stays unless it is to be replaced, and an upload that is given up leaves nothing', async () => {
  const server = await requests.makeServer();
  writeFileSync(server.inside('big.bin'), 'old');
  expect(await requests.post(server, 'uploads', { path: '/big.bin', sizeBytes: 1 })).toMatchObject({
    status: 409,
    body: { code: 'file.exists' },
  });
  const uploadId = await begin(server, { sizeBytes: 2, replace: true });
  await send(server, uploadId, 0, Buffer.from('x'));
  const given = await requests.ask(server, `uploads/${uploadId}`, undefined, { method: 'DELETE' });
  expect(given).toMatchObject({ status: 200, body: { success: true } });
  await eventually('nothing is left', () => readdirSync(server.directory).length === 1);
  expect(readFileSync(server.inside('big.bin'), 'utf8')).toBe('old');
  expect((await requests.ask(server, 'uploads')).body.data).toEqual([]);
});
