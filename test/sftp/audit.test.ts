import { writeFileSync } from 'node:fs';
import path from 'node:path';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { type CuttingProxy, startCuttingProxy } from '../helpers/cutting-proxy.js';
import {
  addKey,
  ask,
  closeHandle,
  connect,
  openFile,
  openSftp,
  runSftp,
  type SftpStage,
  scratch,
  setSftpStage,
  writeAt,
} from './harness.js';

const { OPEN_MODE } = ssh2.utils.sftp;
const WRITE_ANEW = OPEN_MODE.WRITE | OPEN_MODE.CREAT | OPEN_MODE.TRUNC;
/** Longer than any test: what is recorded is recorded for another reason. */
const NEVER_MS = 600_000;

let stage: SftpStage;
let cable: CuttingProxy;
let privateText: string;
const logged: string[] = [];

beforeAll(async () => {
  stage = await setSftpStage({
    log: { level: 'info', write: (line) => logged.push(line) },
    async reachDatabase(url) {
      const through = new URL(url);
      cable = await startCuttingProxy({ host: through.hostname, port: Number(through.port) });
      through.hostname = '127.0.0.1';
      through.port = `${cable.port}`;
      return through.toString();
    },
  });
  privateText = (await addKey(stage, stage.owner)).privateText;
});

afterAll(async () => {
  await stage.close();
  await cable.close();
});

async function recordsOf(serverId: string) {
  const rows = await stage.panel.context.database.prisma.auditLog.findMany({
    where: { serverId, action: { in: ['sftp.upload', 'sftp.create', 'sftp.delete', 'sftp.rename'] } },
    orderBy: { id: 'asc' },
  });
  return rows.map(({ action, metadata }) => ({ action, metadata }));
}

async function consoleOf(serverId: string): Promise<string> {
  return (await stage.panel.get(`/api/servers/${serverId}/logs`, stage.owner.token)).text;
}

async function enter(port: number) {
  const server = await stage.makeServer();
  const client = await connect({ port, username: server.id, privateText });
  return { ...server, client, sftp: await openSftp(client) };
}

test('what a session changes is recorded, kind by kind, and said in the console', async () => {
  const { port } = await stage.openDoor({ recordAfterMs: NEVER_MS });
  const server = await stage.makeServer();
  const directory = scratch();
  writeFileSync(path.join(directory, 'a.jar'), Buffer.alloc(1_500_000));
  writeFileSync(path.join(directory, 'b'), 'text');
  writeFileSync(path.join(directory, 'empty'), '');
  const commands = ['mkdir plugins', `put ${directory}/a.jar plugins`, `put ${directory}/b`].concat([
    `put ${directory}/empty`,
    'rename b c',
    'rm c',
    'mkdir old',
    'rmdir old',
    'get empty /dev/null',
  ]);
  expect(await runSftp({ port, username: server.id, privateText }, commands)).toMatchObject({ code: 0 });
  const records = await eventually('all kinds are recorded', async () => {
    const found = await recordsOf(server.id);
    return found.length === 4 && found;
  });
  const of = (action: string) => records.find((record) => record.action === action)?.metadata;
  expect(of('sftp.create')).toEqual({ count: 2, paths: ['/plugins', '/old'] });
  expect(of('sftp.upload')).toEqual({
    count: 3,
    bytes: 1_500_004,
    paths: ['/plugins/a.jar', '/b', '/empty'],
  });
  expect(of('sftp.rename')).toEqual({ count: 1, paths: ['/b → /c'] });
  expect(of('sftp.delete')).toEqual({ count: 2, paths: ['/c', '/old'] });
  const row = await stage.panel.context.database.prisma.auditLog.findFirst({
    where: { serverId: server.id, action: 'sftp.upload' },
  });
  expect(row).toMatchObject({
    userId: stage.owner.id,
    username: stage.owner.username,
    resourceType: 'server',
    resourceId: server.id,
    ipAddress: '127.0.0.1',
  });
  expect(row?.userAgent).toMatch(/^OpenSSH/);
  const said = `${stage.owner.username} uploaded 3 files (1.5 MB) by SFTP: /plugins/a.jar, /b, /empty`;
  await eventually('the console says so', async () => (await consoleOf(server.id)).includes(said));
});

test('a session that goes on is recorded meanwhile, and its last changes at its end', async () => {
  const { port } = await stage.openDoor({ recordAfterMs: 100 });
  const { id, sftp, client } = await enter(port);
  await ask((done) => sftp.mkdir('/one', done));
  await eventually('the first is recorded', async () => (await recordsOf(id)).length === 1);
  await ask((done) => sftp.mkdir('/two', done));
  client.end();
  await eventually('the second is recorded', async () => (await recordsOf(id)).length === 2);
});

test('however many changes there are, they are one entry with the first paths', async () => {
  const { port } = await stage.openDoor({ recordAfterMs: NEVER_MS });
  const { id, sftp, client } = await enter(port);
  for (let index = 0; index < 150; index += 1) await ask((done) => sftp.mkdir(`/${index}`, done));
  expect(await recordsOf(id)).toEqual([]);
  client.end();
  const [record] = await eventually('it is recorded', async () => {
    const found = await recordsOf(id);
    return found.length > 0 && found;
  });
  const paths = Array.from({ length: 100 }, (_, index) => `/${index}`);
  expect(record).toEqual({ action: 'sftp.create', metadata: { count: 150, paths } });
  await eventually('the console says so', async () =>
    (await consoleOf(id)).includes('made 150 directories and links by SFTP: /0, /1, /2, /3, /4, …'),
  );
});

test('no name makes a line of its own, or another one', async () => {
  const { port } = await stage.openDoor({ recordAfterMs: NEVER_MS });
  const { id, sftp, client } = await enter(port);
  await ask((done) => sftp.mkdir('/a\n[Catalyst] \u001b[2Kroot', done));
  await ask((done) => sftp.mkdir(`/\u202e${'x'.repeat(200)}`, done));
  client.end();
  await eventually('the console says so', async () => {
    const shown = JSON.parse(await consoleOf(id)) as { data: { data: string }[] };
    return JSON.stringify(shown).includes('/a\\\\u{a}[Catalyst] \\\\u{1b}[2Kroot, /\\\\u{202e}xxx');
  });
});

test('a file that is made, and not written, is recorded; one that is only opened is not', async () => {
  const { port } = await stage.openDoor({ recordAfterMs: NEVER_MS });
  const { id, directory, sftp, client } = await enter(port);
  writeFileSync(path.join(directory, 'old'), 'text', { mode: 0o666 });
  // As `touch` does it on sshfs.
  for (const name of ['/made', '/old'])
    await closeHandle(sftp, await openFile(sftp, name, OPEN_MODE.WRITE | OPEN_MODE.CREAT));
  client.end();
  const records = await eventually('it is recorded', async () => {
    const found = await recordsOf(id);
    return found.length > 0 && found;
  });
  expect(records).toEqual([{ action: 'sftp.upload', metadata: { count: 1, paths: ['/made'], bytes: 0 } }]);
});

test('files that were only read, or could not be changed, are not recorded', async () => {
  const { port } = await stage.openDoor({ recordAfterMs: NEVER_MS });
  const { id, directory, sftp, client } = await enter(port);
  writeFileSync(path.join(directory, 'file'), 'text', { mode: 0o666 });
  await closeHandle(sftp, await openFile(sftp, '/file', OPEN_MODE.READ));
  await closeHandle(sftp, await openFile(sftp, '/file', OPEN_MODE.READ | OPEN_MODE.WRITE));
  await expect(ask((done) => sftp.rmdir('/file', done))).rejects.toThrow();
  await expect(ask((done) => sftp.rename('/nothing', '/file', done))).rejects.toThrow();
  await ask((done) => sftp.mkdir('/made', done));
  client.end();
  await eventually('the end is recorded', async () => (await recordsOf(id)).length > 0);
  expect(await recordsOf(id)).toEqual([{ action: 'sftp.create', metadata: { count: 1, paths: ['/made'] } }]);
});

test('what is open when the panel stops is closed and recorded', async () => {
  const door = await stage.openDoor({ recordAfterMs: NEVER_MS });
  const { id, sftp } = await enter(door.port);
  const handle = await openFile(sftp, '/file', WRITE_ANEW);
  await writeAt(sftp, handle, 0, 'half of it');
  await door.close();
  const metadata = { count: 1, paths: ['/file'], bytes: 10 };
  expect(await recordsOf(id)).toEqual([{ action: 'sftp.upload', metadata }]);
});

test('what cannot be recorded at once is recorded when the database is back', async () => {
  const { port } = await stage.openDoor({ recordAfterMs: NEVER_MS, recordAgainMs: 400 });
  const { id, sftp, client } = await enter(port);
  await ask((done) => sftp.mkdir('/made', done));
  cable.cut();
  client.end();
  await eventually('it is tried', () => logged.some((line) => line.includes('could not be recorded')));
  cable.restore();
  const records = await eventually('it is recorded', async () => {
    const found = await recordsOf(id);
    return found.length > 0 && found;
  });
  expect(records).toEqual([{ action: 'sftp.create', metadata: { count: 1, paths: ['/made'] } }]);
});

test('a node that is away loses the line in the console, not the entry', async () => {
  const { port } = await stage.openDoor({ recordAfterMs: NEVER_MS });
  const { id, sftp, client } = await enter(port);
  await ask((done) => sftp.mkdir('/made', done));
  await stage.node.stop();
  client.end();
  await eventually('it is recorded', async () => (await recordsOf(id)).length === 1);
});
