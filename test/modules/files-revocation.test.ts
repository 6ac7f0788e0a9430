import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import type { ClientRequest } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiKey } from '../helpers/accounts.js';
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
import { BEING_DELETED } from '../helpers/servers.js';

const MB = 1024 * 1024;
/** More than fits on the way between the node and a client that does not read. */
const BIG_BYTES = 64 * MB;
const ENDED_WITHIN_MS = 2000;

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

interface Case {
  server: FileServer;
  /** A member who may read and write the files. */
  user: TestUser;
  token: string;
  apiKeyId: string;
}

const SESSION_ENDS = 'the session is revoked';

async function makeCase(what = ''): Promise<Case> {
  const server = await requests.makeServer();
  const user = await panel.createUser();
  const { id: apiKeyId, key } = await createApiKey(panel, user.token);
  const token = what === SESSION_ENDS ? user.token : key;
  await panel.context.database.prisma.serverAccess.create({
    data: { serverId: server.id, userId: user.id, permissions: ['file.read', 'file.write'] },
  });
  return { server, user, token, apiKeyId };
}

const prisma = () => panel.context.database.prisma;

/** Ways to lose everything, done behind the panel's back as another panel would. What it answers, where it can. */
const LOSSES: [string, number, (found: Case) => Promise<unknown>][] = [
  [
    SESSION_ENDS,
    401,
    ({ user }) =>
      prisma().session.updateMany({ where: { userId: user.id }, data: { revokedAt: new Date() } }),
  ],
  ['the API key is deleted', 401, ({ apiKeyId }) => prisma().apiKey.delete({ where: { id: apiKeyId } })],
  [
    'the account is disabled',
    401,
    ({ user }) => prisma().user.update({ where: { id: user.id }, data: { disabledAt: new Date() } }),
  ],
  [
    'the membership ends',
    403,
    ({ user }) => prisma().serverAccess.deleteMany({ where: { userId: user.id } }),
  ],
  [
    'the rights of the member become fewer',
    403,
    ({ user }) =>
      prisma().serverAccess.updateMany({
        where: { userId: user.id },
        data: { permissions: ['server.read'] },
      }),
  ],
  [
    'the server is suspended',
    423,
    ({ server }) => prisma().server.update({ where: { id: server.id }, data: { suspendedAt: new Date() } }),
  ],
  [
    'the server is being deleted',
    409,
    ({ server }) => prisma().server.update({ where: { id: server.id }, data: BEING_DELETED }),
  ],
  ['the server is deleted', 404, ({ server }) => prisma().server.delete({ where: { id: server.id } })],
];

/** Ends within 2 s. */
async function endsSoon(what: string, look: () => boolean): Promise<void> {
  const startedAtMs = Date.now();
  await eventually(what, look);
  expect(Date.now() - startedAtMs).toBeLessThan(ENDED_WITHIN_MS);
}

test.each(LOSSES)('a download ends when %s', async (what, _status, lose) => {
  const found = await makeCase(what);
  const { server, token } = found;
  writeFileSync(server.inside('big.bin'), Buffer.alloc(BIG_BYTES));
  const call = requests.send(server, 'download', { token, query: { path: '/big.bin' } });
  call.end();
  const answer = await answerOf(call);
  expect(answer.statusCode).toBe(200);
  await once(answer, 'readable');
  expect(openIn(server.directory)).toEqual([server.inside('big.bin')]);
  await lose(found);
  await endsSoon('it has ended on the node', () => openIn(server.directory).length === 0);
  answer.resume();
  expect((await once(answer, 'error'))[0]).toMatchObject({ code: 'ECONNRESET' });
  expect(answer.complete).toBe(false);
});

async function refusal(call: ClientRequest, status: number): Promise<void> {
  const answer = await answerOf(call);
  expect(answer.statusCode, await textOf(answer)).toBe(status);
}

test.each(LOSSES)('an upload whose client sends no more ends when %s', async (what, status, lose) => {
  const found = await makeCase(what);
  const { server, token } = found;
  const headers = { 'content-type': FORM_TYPE };
  const options = { method: 'POST', headers, token, query: { path: '/' } };
  const call = requests.send(server, 'upload', options);
  call.on('error', () => {});
  call.write(partHead('file', 'half.bin'));
  call.write(Buffer.alloc(2 * MB));
  await eventually('bytes are on the node', () => openIn(server.directory).length > 0);
  const answered = refusal(call, status);
  await lose(found);
  await endsSoon('nothing is left', () => readdirSync(server.directory).length === 0);
  await answered;
});

test('an upload whose server is deleted before its last byte answers 404, and nothing comes of it', async () => {
  const { server, token } = await makeCase();
  const options = { method: 'POST', headers: { 'content-type': FORM_TYPE }, token, query: { path: '/' } };
  const call = requests.send(server, 'upload', options);
  call.write(partHead('file', 'half.bin'));
  call.write('all but the end');
  await eventually('it has begun on the node', () => openIn(server.directory).length > 0);
  const answered = refusal(call, 404);
  await prisma().server.delete({ where: { id: server.id } });
  call.end(FORM_END);
  await answered;
  await eventually('nothing is left', () => readdirSync(server.directory).length === 0);
});

test('a part of an upload ends, and what came of it stays', async () => {
  const found = await makeCase();
  const { server, token } = found;
  const begun = await requests.post(server, 'uploads', { path: '/a', sizeBytes: 4 * MB }, { token });
  const { uploadId } = begun.body.data;
  const headers = { 'content-type': 'application/octet-stream', 'content-length': 4 * MB };
  const options = { method: 'PATCH', headers, token, query: { offset: '0' } };
  const call = requests.send(server, `uploads/${uploadId}`, options);
  call.on('error', () => {});
  call.write(Buffer.alloc(2 * MB));
  await eventually('bytes are on the node', () =>
    openIn(server.directory).some((path) => statSync(path).size > 0),
  );
  const answered = refusal(call, 401);
  await prisma().apiKey.delete({ where: { id: found.apiKeyId } });
  await endsSoon('it has ended on the node', () => openIn(server.directory).length === 0);
  await answered;
  const { body } = await requests.ask(server, `uploads/${uploadId}`);
  expect(body.data.receivedBytes).toBeGreaterThan(0);
});

test('making an archive ends when its starter loses one of the two rights, and leaves nothing', async () => {
  const found = await makeCase();
  const { server, token, user } = found;
  writeFileSync(server.inside('big.bin'), randomBytes(BIG_BYTES));
  const request = { paths: Array.from({ length: 1 }, () => '/big.bin'), archiveName: 'a.zip' };
  const begun = await requests.post(server, 'compress', request, { token, query: { wait: 'false' } });
  expect(begun.status).toBe(202);
  const where = { userId: user.id };
  await prisma().serverAccess.updateMany({ where, data: { permissions: ['server.read', 'file.write'] } });
  panel.context.bus.emit('access.changed', { userId: user.id });
  const { taskId } = begun.body.data;
  const ended = await eventually('it has ended', async () => {
    const { data } = (await requests.ask(server, `tasks/${taskId}`)).body;
    return data.state !== 'running' && data;
  });
  expect(ended).toMatchObject({ state: 'cancelled', error: { code: 'permission.denied' } });
  await eventually('nothing is left', () => !existsSync(server.inside('backups')));
  expect(readdirSync(server.directory)).toEqual(['big.bin']);
});

test('a download that was begun on a suspended server goes on', async () => {
  const { server, token } = await makeCase();
  await prisma().server.update({ where: { id: server.id }, data: { suspendedAt: new Date() } });
  writeFileSync(server.inside('big.bin'), Buffer.alloc(BIG_BYTES));
  const call = requests.send(server, 'download', { token, query: { path: '/big.bin' } });
  call.end();
  const answer = await answerOf(call);
  await once(answer, 'readable');
  // Whoever else loses something makes the panel look at everybody.
  for (let count = 0; count < 3; count += 1) {
    panel.context.bus.emit('access.changed', {});
    await panel.get('/api/auth/me', token);
  }
  let bytes = 0;
  for await (const chunk of answer) bytes += (chunk as Buffer).length;
  expect(bytes).toBe(BIG_BYTES);
});
