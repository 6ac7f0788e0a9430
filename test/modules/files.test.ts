import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serverAudit } from '../helpers/audit.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

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

describe('as documented', () => {
  test('a directory is listed', async () => {
    const server = await makeServer();
    writeFileSync(server.inside('server.properties'), 'motd=hello\n', { mode: 0o640 });
    mkdirSync(server.inside('world'));
    symlinkSync('world', server.inside('link'));
    const { status, body } = await panel.get(`${server.url}?path=/`, owner.token);
    expect(status).toBe(200);
    const common = { isDirectory: false, isLink: false, modified: expect.stringMatching(/^\d{4}-.*Z$/) };
    expect(body).toEqual({
      success: true,
      data: [
        { ...common, name: 'link', isLink: true, size: expect.any(Number), mode: expect.any(String) },
        { ...common, name: 'server.properties', size: 11, mode: '0640' },
        { ...common, name: 'world', isDirectory: true, size: 0, mode: expect.stringMatching(/^0\d{3}$/) },
      ],
    });
    expect((await panel.get(server.url, owner.token)).body.data).toHaveLength(3);
    expect((await panel.get(`${server.url}?path=/world`, owner.token)).body.data).toEqual([]);
  });

  test('a file and a directory are created, also where the directories on the way are missing', async () => {
    const server = await makeServer();
    const file = {
      path: '/configs/new-config.yml',
      content: '# Configuration\nkey: value',
      isDirectory: false,
    };
    const created = await panel.post(`${server.url}/create`, file, owner.token);
    expect(created).toMatchObject({ status: 200, body: { success: true, data: { size: 26 } } });
    expect(readFileSync(server.inside('configs/new-config.yml'), 'utf8')).toBe(file.content);
    const directory = await panel.post(
      `${server.url}/create`,
      { path: '/backups', isDirectory: true },
      owner.token,
    );
    expect(directory).toMatchObject({ status: 200, body: { success: true, data: { isDirectory: true } } });
    for (const again of [file, { path: '/backups', isDirectory: true }, { path: '/backups' }]) {
      const answer = await panel.post(`${server.url}/create`, again, owner.token);
      expect(answer, answer.text).toMatchObject({ status: 409, body: { code: 'file.exists' } });
    }
    expect(readFileSync(server.inside('configs/new-config.yml'), 'utf8')).toBe(file.content);
  });

  test('a file is uploaded and downloaded', async () => {
    const server = await makeServer();
    const bytes = Buffer.from([0, 255, 13, 10, 45, 45, 0, 1]);
    const body = form(['file', new File([bytes], 'plugin.jar')], ['path', '/plugins']);
    const uploaded = await panel.post(`${server.url}/upload`, body, owner.token);
    expect(uploaded.body).toEqual({ success: true, message: 'File uploaded successfully' });
    expect(readFileSync(server.inside('plugins/plugin.jar')).equals(bytes)).toBe(true);
    const answer = await fetch(
      `http://127.0.0.1:${panel.port}${server.url}/download?path=/plugins/plugin.jar`,
      {
        headers: { authorization: `Bearer ${owner.token}` },
      },
    );
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': 'attachment; filename="plugin.jar"',
      'content-length': '8',
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
    });
  });

  test('a file and a directory with everything in it are deleted', async () => {
    const server = await makeServer();
    mkdirSync(server.inside('world/region'), { recursive: true });
    writeFileSync(server.inside('world/region/r.0.0.mca'), 'x');
    writeFileSync(server.inside('a.txt'), 'x');
    for (const path of ['/world', '/a.txt']) {
      const answer = await panel.delete(`${server.url}?path=${path}`, owner.token);
      expect(answer.body).toEqual({ success: true, message: 'File deleted successfully' });
    }
    expect(readdirSync(server.directory)).toEqual([]);
    expect(await panel.delete(`${server.url}?path=/a.txt`, owner.token)).toMatchObject({
      status: 404,
      body: { code: 'file.not_found' },
    });
  });
});

describe('beyond the document', () => {
  test('a file is written over, renamed, copied, looked at and given other permissions', async () => {
    const server = await makeServer();
    const { url } = server;
    const write = (content: string) => panel.put(`${url}/write`, { path: '/a.txt', content }, owner.token);
    await write('one');
    expect((await write('two, longer')).body.data).toMatchObject({ name: 'a.txt', size: 11 });
    const rename = (body: object) => panel.post(`${url}/rename`, body, owner.token);
    expect((await rename({ from: '/a.txt', to: '/b.txt' })).status).toBe(200);
    await write('three');
    expect((await rename({ from: '/a.txt', to: '/b.txt' })).body.code).toBe('file.exists');
    expect((await rename({ from: '/a.txt', to: '/b.txt', replace: true })).status).toBe(200);
    const copy = await panel.post(`${url}/copy`, { from: '/b.txt', to: '/c.txt' }, owner.token);
    expect(copy.body).toEqual({ success: true, data: { bytes: 5 } });
    const mode = { path: '/c.txt', mode: '0600' };
    expect((await panel.post(`${url}/permissions`, mode, owner.token)).body.data.mode).toBe('0600');
    const { body } = await panel.get(`${url}/stat?path=/c.txt`, owner.token);
    expect(body.data).toMatchObject({ name: 'c.txt', size: 5, isDirectory: false, mode: '0600' });
    expect(statSync(server.inside('c.txt')).mode & 0o7777).toBe(0o600);
    expect(readdirSync(server.directory).sort()).toEqual(['b.txt', 'c.txt']);
    expect(readFileSync(server.inside('b.txt'), 'utf8')).toBe('three');
  });

  test('every change is in the audit log, and only what was done', async () => {
    const server = await makeServer();
    const { url } = server;
    await panel.post(`${url}/create`, { path: 'a', content: 'x' }, owner.token);
    await panel.post(`${url}/create`, { path: 'a', content: 'x' }, owner.token);
    await panel.put(`${url}/write`, { path: '//a', content: 'xy' }, owner.token);
    await panel.post(`${url}/rename`, { from: '/a', to: '/b' }, owner.token);
    await panel.post(`${url}/rename`, { from: '/a', to: '/b' }, owner.token);
    await panel.post(`${url}/copy`, { from: '/b', to: '/c' }, owner.token);
    await panel.post(`${url}/permissions`, { path: '/c', mode: '644' }, owner.token);
    await panel.post(`${url}/upload`, form(['path', '/'], ['file', new File(['z'], 'd')]), owner.token);
    await panel.delete(`${url}?path=/c`, owner.token);
    await panel.delete(`${url}?path=/`, owner.token);
    const rows = await serverAudit(panel, server.id);
    const serverName = 'a server';
    expect(rows.map(({ action, metadata }) => [action, metadata])).toEqual([
      ['file.create', { serverName, path: '/a', isDirectory: false }],
      ['file.write', { serverName, path: '/a', sizeBytes: 2 }],
      ['file.rename', { serverName, from: '/a', to: '/b' }],
      ['file.copy', { serverName, from: '/b', to: '/c', sizeBytes: 2 }],
      ['file.permissions', { serverName, path: '/c', mode: '644' }],
      ['file.upload', { serverName, path: '/d', sizeBytes: 1 }],
      ['file.delete', { serverName, path: '/c' }],
    ]);
  });
});
