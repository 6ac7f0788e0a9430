import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import { createFileRequests, type FileRequests, type FileServer } from '../helpers/file-requests.js';

let panel: PanelWithDoors;
let node: FileNode;
let requests: FileRequests;
let server: FileServer;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  node = await startFileNode(panel);
  const owner = await panel.createUser();
  const { id: templateId } = await panel.createTemplate();
  requests = createFileRequests(panel, { node, owner, templateId });
  server = await requests.makeServer();
  mkdirSync(server.inside('plugins/deep'), { recursive: true });
  writeFileSync(server.inside('server.properties'), '12345');
  writeFileSync(server.inside('plugins/deep/My.Properties'), '');
  writeFileSync(server.inside('plugins/a.jar'), '');
  symlinkSync('/etc', server.inside('plugins/outside'));
});

afterAll(async () => {
  await node.close();
  await panel.close();
});

async function search(query: Record<string, string>) {
  return (await requests.ask(server, 'search', undefined, { query })).body;
}

test('names are found by a part of them or a pattern, below the directory that is asked for', async () => {
  const found = await search({ text: 'properties' });
  expect(found).toMatchObject({ success: true, isComplete: true });
  expect(found.data.map(({ path }: { path: string }) => path).sort()).toEqual([
    '/plugins/deep/My.Properties',
    '/server.properties',
  ]);
  expect(found.data).toContainEqual({
    path: '/server.properties',
    name: 'server.properties',
    size: 5,
    isDirectory: false,
    isLink: false,
    mode: expect.stringMatching(/^0\d{3}$/),
    modified: expect.any(String),
  });
  expect((await search({ text: '*.jar', path: '/plugins/' })).data).toMatchObject([
    { path: '/plugins/a.jar' },
  ]);
  expect((await search({ text: 'passwd' })).data).toEqual([]);
});

test('more than were asked for are not there, and it is said', async () => {
  const found = await search({ text: '*', limit: '2' });
  expect([found.data.length, found.isComplete]).toEqual([2, false]);
});

test.each([
  [{ text: '' }, 400],
  [{}, 400],
  [{ text: 'a', limit: '0' }, 400],
  [{ text: 'a', limit: '1001' }, 400],
  [{ text: 'a', path: '/..' }, 400],
  [{ text: 'a', path: '/none' }, 404],
  [{ text: 'a', path: '/server.properties' }, 400],
  [{ text: 'a', path: '/plugins/outside' }, 400],
])('a search for %j is %i', async (query, status) => {
  expect((await requests.ask(server, 'search', undefined, { query })).status).toBe(status);
});
