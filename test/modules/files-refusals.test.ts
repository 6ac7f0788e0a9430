import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import type { TestUser } from '../helpers/panel.js';
import { BEING_DELETED, insertServer } from '../helpers/servers.js';

let panel: PanelWithDoors;
let node: FileNode;
let owner: TestUser;
let templateId: string;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  node = await startFileNode(panel);
  owner = await panel.createUser();
  templateId = (await panel.createTemplate()).id;
});

afterAll(async () => {
  await node.close();
  await panel.close();
});

/** A server with an empty directory. */
async function makeServer(fields: Record<string, unknown> = {}) {
  const server = await insertServer(panel, { nodeId: node.id, ownerId: owner.id, templateId });
  const url = `/api/servers/${server.id}/files`;
  const directory = await node.install(server, fields);
  return { ...server, url, directory, inside: (...names: string[]) => join(directory, ...names) };
}

/** The fields and files of a form, in this order. */
function form(...fields: [name: string, value: string | File][]): FormData {
  const data = new FormData();
  for (const [name, value] of fields) data.append(name, value);
  return data;
}

const REQUESTS: [method: string, path: string, body?: () => unknown][] = [
  ['GET', '?path=/'],
  ['GET', '/stat?path=/a'],
  ['GET', '/download?path=/a'],
  ['POST', '/create', () => ({ path: '/n', content: 'x' })],
  ['PUT', '/write', () => ({ path: '/n', content: 'x' })],
  ['POST', '/rename', () => ({ from: '/a', to: '/b' })],
  ['POST', '/copy', () => ({ from: '/a', to: '/b' })],
  ['POST', '/permissions', () => ({ path: '/a', mode: '0600' })],
  ['POST', '/upload', () => form(['path', '/'], ['file', new File(['x'], 'n')])],
  ['DELETE', '?path=/a'],
  ['GET', '/search?text=a'],
  ['POST', '/compress', () => ({ paths: ['/a'], archiveName: 'a.zip' })],
  ['POST', '/decompress', () => ({ archivePath: '/a' })],
  ['POST', '/pull', () => ({ url: 'https://example.com/a' })],
  ['POST', '/uploads', () => ({ path: '/n', sizeBytes: 1 })],
];

describe.each(REQUESTS)('%s …/files%s', (method, path, body) => {
  const isRead = method === 'GET';

  async function ask(server: { url: string }, token?: string) {
    const { status, body: answer } = await panel.call(method, `${server.url}${path}`, body?.(), token);
    return [status, answer?.code];
  }

  test('is for those who have the right', async () => {
    const server = await makeServer();
    writeFileSync(server.inside('a'), 'x');
    const stranger = await panel.createUser();
    const reader = await panel.createUser(['server.read', ...(isRead ? [] : ['file.read'])]);
    expect(await ask(server)).toEqual([401, 'auth.required']);
    expect(await ask(server, stranger.token)).toEqual([404, 'server.not_found']);
    expect(await ask({ url: '/api/servers/none/files' }, owner.token)).toEqual([404, 'server.not_found']);
    expect(await ask(server, reader.token)).toEqual([403, 'permission.denied']);
    expect(readdirSync(server.directory)).toEqual(['a']);
  });

  test('a server that is suspended, being installed or deleted can only be read', async () => {
    const states = [
      [{ suspendedAt: new Date() }, [423, 'server.suspended']],
      [{ status: 'installing' }, [409, 'server.busy']],
      [{ status: 'transferring' }, [409, 'server.busy']],
      [BEING_DELETED, [409, 'server.being_deleted']],
    ] as const;
    for (const [fields, refused] of states) {
      const server = await makeServer(fields);
      writeFileSync(server.inside('a'), 'x');
      expect(await ask(server, owner.token)).toEqual(isRead ? [200, undefined] : refused);
      expect(readdirSync(server.directory)).toEqual(['a']);
    }
  });

  test('says so when the node is offline or the server has no directory', async () => {
    const { id: nodeId } = await panel.createNode();
    const away = await insertServer(panel, { nodeId, ownerId: owner.id, templateId });
    expect(await ask({ url: `/api/servers/${away.id}/files` }, owner.token)).toEqual([503, 'node.offline']);
    const empty = await insertServer(panel, { nodeId: node.id, ownerId: owner.id, templateId });
    expect(await ask({ url: `/api/servers/${empty.id}/files` }, owner.token)).toEqual([
      409,
      'server.not_installed',
    ]);
  });
});

test.each([
  ['/copy', { from: '/a', to: '/b' }],
  ['/compress', { paths: ['/a'], archiveName: 'a.zip' }],
])('%s takes the right to read, too', async (path, body) => {
  const server = await makeServer();
  writeFileSync(server.inside('a'), 'x');
  const writer = await panel.createUser(['server.read', 'file.write']);
  const answer = await panel.post(`${server.url}${path}`, body, writer.token);
  expect(answer.body.code).toBe('permission.denied');
});

test.each([
  ['POST', '/create', {}],
  ['POST', '/create', { path: '' }],
  ['POST', '/create', { path: '/' }],
  ['POST', '/create', { path: '/a', content: 7 }],
  ['POST', '/create', { path: '/a', content: 'x', isDirectory: true }],
  ['POST', '/create', { path: '/a', contents: 'x' }],
  ['POST', '/create', { path: '/../a' }],
  ['POST', '/create', { path: `/${'x'.repeat(256)}` }],
  ['POST', '/create', { path: '/a\0b' }],
  ['PUT', '/write', { path: '/a' }],
  ['PUT', '/write', { path: '/a/..', content: 'x' }],
  ['PUT', '/write', { path: '/directory', content: 'x' }],
  ['POST', '/rename', { from: '/', to: '/b' }],
  ['POST', '/rename', { from: '/directory', to: '/' }],
  ['POST', '/rename', { from: '/directory', to: '/../../b' }],
  ['POST', '/copy', { from: '/', to: '/b' }],
  ['POST', '/permissions', { path: '/directory', mode: '4755' }],
  ['POST', '/permissions', { path: '/directory', mode: 420 }],
  ['POST', '/permissions', { path: '/', mode: '0777' }],
  ['DELETE', '?path=/', undefined],
  ['DELETE', '?path=directory/..', undefined],
  ['DELETE', '?path=/..', undefined],
  ['DELETE', '', undefined],
  ['GET', '?path=/..', undefined],
  ['GET', '?path=%00', undefined],
  ['GET', '?path=/file', undefined],
  ['GET', '/stat', undefined],
  ['GET', '/download?path=/directory', undefined],
  ['GET', '/download?path=/', undefined],
])('%s …/files%s %j is 400 and changes nothing', async (method, path, body) => {
  const server = await makeServer();
  mkdirSync(server.inside('directory'));
  writeFileSync(server.inside('file'), 'x');
  const answer = await panel.call(method, `${server.url}${path}`, body, owner.token);
  expect(answer.status, answer.text).toBe(400);
  expect(readdirSync(server.directory).sort()).toEqual(['directory', 'file']);
});

test.each([
  ['/create', 'path', { path: '/' }],
  ['/rename', 'from', { from: '/', to: '/b' }],
  ['/rename', 'to', { from: '/directory', to: '/' }],
  ['/copy', 'to', { from: '/directory', to: '/a/..' }],
  ['/decompress', 'archivePath', { archivePath: '/' }],
])('%s says that its `%s` is what is wrong', async (path, name, body) => {
  const server = await makeServer();
  const answer = await panel.call('POST', `${server.url}${path}`, body, owner.token);
  expect(answer).toMatchObject({ status: 400, body: { message: expect.stringContaining(`${name}: `) } });
});
