import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import { createFileRequests, type FileRequests, type FileServer } from '../helpers/file-requests.js';

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

/** Two directories with a file each. */
async function makeServer(): Promise<FileServer> {
  const server = await requests.makeServer();
  for (const name of ['world', 'plugins']) {
    mkdirSync(server.inside(name));
    writeFileSync(server.inside(`${name}/${name}.txt`), `of ${name}`);
  }
  return server;
}

const BOTH = ['/world', '/plugins'];

async function auditOf({ id }: FileServer) {
  const rows = await panel.context.database.prisma.auditLog.findMany({
    where: { serverId: id },
    orderBy: { id: 'asc' },
  });
  return rows.map(({ action, metadata }) => ({ action, ...(metadata as object) }));
}

test('files are packed and unpacked as documented, and both are in the audit log', async () => {
  const server = await makeServer();
  const packed = await requests.post(server, 'compress', { paths: BOTH, archiveName: 'backup.tar.gz' });
  const archivePath = '/backups/backup.tar.gz';
  expect(packed).toMatchObject({ status: 200, body: { success: true, archivePath } });
  const listed = String(execFileSync('tar', ['-tzf', server.inside('backups/backup.tar.gz')]));
  expect(
    listed
      .split('\n')
      .filter((name) => name.endsWith('.txt'))
      .sort(),
  ).toEqual(['plugins/plugins.txt', 'world/world.txt']);

  const unpacked = await requests.post(server, 'decompress', { archivePath, targetPath: '/restored' });
  expect(unpacked).toMatchObject({
    status: 200,
    body: { success: true, message: 'Archive extracted successfully', targetPath: '/restored' },
  });
  expect(readFileSync(server.inside('restored/world/world.txt'), 'utf8')).toBe('of world');
  expect(readFileSync(server.inside('restored/plugins/plugins.txt'), 'utf8')).toBe('of plugins');
  expect(await auditOf(server)).toMatchObject([
    { action: 'file.compress', paths: BOTH, archivePath, sizeBytes: packed.body.size },
    { action: 'file.decompress', archivePath, targetPath: '/restored', entries: unpacked.body.entries },
  ]);
});

test.each([
  ['a.tar.gz', undefined],
  ['a.tgz', undefined],
  ['a.TAR', undefined],
  ['a.tar.zst', undefined],
  ['a.zip', undefined],
  ['anything', 'zip'],
])(
  'an archive %s (format %s) is packed, and unpacked next to itself by what is in it',
  async (archiveName, format) => {
    const server = await makeServer();
    const request = { paths: ['/world'], archiveName, targetPath: '/new/place', ...(format && { format }) };
    const packed = await requests.post(server, 'compress', request);
    expect(packed).toMatchObject({ status: 200, body: { archivePath: `/new/place/${archiveName}` } });
    const archivePath = packed.body.archivePath;
    expect((await requests.post(server, 'decompress', { archivePath })).body).toMatchObject({
      targetPath: '/new/place',
    });
    expect(readFileSync(server.inside('new/place/world/world.txt'), 'utf8')).toBe('of world');
  },
);

test('an archive that is there already stays, unless it is to be replaced', async () => {
  const server = await makeServer();
  const request = { paths: ['/world'], archiveName: 'a.tar', targetPath: '/' };
  writeFileSync(server.inside('a.tar'), 'dear to somebody');
  const refused = await requests.post(server, 'compress', request);
  expect(refused).toMatchObject({ status: 409, body: { code: 'file.exists' } });
  expect(readFileSync(server.inside('a.tar'), 'utf8')).toBe('dear to somebody');
  expect((await requests.post(server, 'compress', { ...request, replace: true })).status).toBe(200);
  expect(String(execFileSync('tar', ['-tf', server.inside('a.tar')]))).toContain('world/world.txt');
});

test.each([
  [{ archiveName: 'a.rar' }, '.tar.gz, .tgz, .zip, .tar.zst, .tar'],
  [{ archiveName: '..' }, 'archiveName'],
  [{ archiveName: 'a/b.zip' }, 'archiveName'],
  [{ archiveName: `${'x'.repeat(100)}.zip` }, 'archiveName'],
  [{ archiveName: 'a b.zip' }, 'archiveName'],
  [{ paths: [] }, 'paths'],
  [{ paths: ['/../etc'] }, 'leads out'],
  [{ targetPath: '/..' }, 'leads out'],
  [{ paths: ['/world', '/x/../a.zip'], targetPath: '/', replace: true }, 'is to go into the archive'],
  [{ format: 'rar' }, 'format'],
])('compress %j is 400 and makes nothing', async (fields, named) => {
  const server = await makeServer();
  const answer = await requests.post(server, 'compress', { paths: BOTH, archiveName: 'a.zip', ...fields });
  expect(answer).toMatchObject({ status: 400, body: { message: expect.stringContaining(named) } });
  expect(readdirSync(server.directory).sort()).toEqual(['plugins', 'world']);
});

test('what is not there is 404, and what is no archive 400', async () => {
  const server = await makeServer();
  const packed = await requests.post(server, 'compress', { paths: ['/none'], archiveName: 'a.zip' });
  expect(packed).toMatchObject({ status: 404, body: { code: 'file.not_found' } });
  expect(await requests.post(server, 'decompress', { archivePath: '/none.zip' })).toMatchObject({
    status: 404,
    body: { code: 'file.not_found' },
  });
  const many = Array.from({ length: 1000 }, (_, place) => `/${'n'.repeat(100)}${place}`);
  const packedMany = await requests.post(server, 'compress', { paths: many, archiveName: 'a.zip' });
  expect(packedMany).toMatchObject({ status: 404, body: { code: 'file.not_found' } });
  const text = { archivePath: '/world/world.txt', targetPath: '/out' };
  expect(await requests.post(server, 'decompress', text)).toMatchObject({
    status: 400,
    body: { code: 'archive.unreadable' },
  });
  expect(readdirSync(server.directory).sort()).toEqual(['plugins', 'world']);
});

test('a hostile archive is 400, which names the entry, and leaves nothing', async () => {
  const server = await makeServer();
  const source = ['-C', server.directory, 'world', 'plugins/plugins.txt'];
  execFileSync('tar', ['-cPf', server.inside('evil.tar'), '--transform', 's|plugins/|../../|', ...source]);
  const answer = await requests.post(server, 'decompress', { archivePath: '/evil.tar', targetPath: '/out' });
  expect(answer).toMatchObject({
    status: 400,
    body: { code: 'archive.hostile_entry', message: expect.stringContaining('../../plugins.txt') },
  });
  expect(existsSync(server.inside('out'))).toBe(false);
  expect(existsSync(server.inside('../../plugins.txt'))).toBe(false);
});
