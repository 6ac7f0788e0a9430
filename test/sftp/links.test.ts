import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import ssh2, { type SFTPWrapper, type Stats } from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeClients, PYTHON, run } from './clients.js';
import {
  addKey,
  ask,
  connect,
  openSftp,
  runSftp,
  type SftpStage,
  scratch,
  setSftpStage,
  statusOf,
} from './harness.js';

const { STATUS_CODE } = ssh2.utils.sftp;

let stage: SftpStage;
let privateText: string;

beforeAll(async () => {
  stage = await setSftpStage();
  privateText = (await addKey(stage, stage.owner)).privateText;
});

afterAll(() => stage.close());

async function setUp() {
  const server = await stage.makeServer();
  const login = { port: stage.port, username: server.id, privateText };
  const inside = (...names: string[]) => path.join(server.directory, ...names);
  mkdirSync(inside('plugins'), { mode: 0o777 });
  writeFileSync(inside('plugins/config'), 'text', { mode: 0o666 });
  return { ...server, login, inside, connect: async () => openSftp(await connect(login)) };
}

const readLink = (sftp: SFTPWrapper, name: string) =>
  ask<string>((done) => sftp.readlink(name, done as never));
const look = (sftp: SFTPWrapper, name: string) => ask<Stats>((done) => sftp.stat(name, done as never));

test('links of OpenSSH’s client lead where it says', async () => {
  const { login, inside } = await setUp();
  const commands = ['ln -s plugins/config relative', 'ln -s /plugins/config absolute', 'cd plugins'];
  const result = await runSftp(login, [...commands, 'ln -s ../plugins/config up', 'ln -s config /deep']);
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(readlinkSync(inside('relative'))).toBe('plugins/config');
  expect(readlinkSync(inside('absolute'))).toBe('plugins/config');
  expect(readlinkSync(inside('plugins/up'))).toBe('../plugins/config');
  expect(readlinkSync(inside('deep'))).toBe('config');
  const shown = await runSftp(login, ['ls -l /', 'get relative /dev/null']);
  expect(shown).toMatchObject({ code: 0, stderr: '' });
  expect(shown.stdout).toMatch(/^lrwx.* relative/m);
});

test('clients that keep to the draft, and those that follow OpenSSH whoever they talk to, make the same links', async () => {
  const { login, inside, connect: enter } = await setUp();
  await ask(async (done) => (await enter()).symlink('plugins/config', '/by-the-draft', done));
  expect(readlinkSync(inside('by-the-draft'))).toBe('plugins/config');
  for (const ident of ['paramiko_2.12.0', 'AsyncSSH_2.14.0', 'Go', 'rclone/v1.60.1', 'JSCH_0.2.9']) {
    const sftp = await openSftp(await connect(login, { ident }));
    const name = `/by-${ident.slice(0, 3)}`;
    // ssh2's client puts them into the other order unless the server is OpenSSH.
    await ask((done) => sftp.symlink(name, 'plugins/config', done));
    expect(readlinkSync(inside(name)), ident).toBe('plugins/config');
  }
});

describeClients(['paramiko'], () => {
  test('links of paramiko lead where it says', async () => {
    const { login, inside } = await setUp();
    const program = `
import sys, io, paramiko
transport = paramiko.Transport(('127.0.0.1', ${login.port}))
transport.connect(username='${login.username}', password='${stage.owner.token}')
sftp = paramiko.SFTPClient.from_transport(transport)
sftp.symlink('plugins/config', 'made')
print(sftp.readlink('made'))
transport.close()`;
    expect(await run(PYTHON, ['-c', program])).toMatchObject({ code: 0, stdout: 'plugins/config\n' });
    expect(readlinkSync(inside('made'))).toBe('plugins/config');
  });
});

test('a link is read, looked at, renamed and removed itself; what it leads to is changed through it', async () => {
  const { inside, connect: enter } = await setUp();
  const sftp = await enter();
  await ask((done) => sftp.symlink('plugins/config', '/link', done));
  expect(await readLink(sftp, '/link')).toBe('plugins/config');
  expect((await ask<Stats>((done) => sftp.lstat('/link', done as never))).isSymbolicLink()).toBe(true);
  expect((await look(sftp, '/link')).isFile()).toBe(true);
  await ask((done) => sftp.setstat('/link', { mode: 0o640, mtime: 1000, atime: 1000 } as never, done));
  expect(statSync(inside('plugins/config')).mode & 0o777).toBe(0o640);
  expect(statSync(inside('plugins/config')).mtimeMs).toBe(1_000_000);
  await ask((done) => sftp.rename('/link', '/other', done));
  expect(lstatSync(inside('other')).isSymbolicLink()).toBe(true);
  await ask((done) => sftp.unlink('/other', done));
  expect(readFileSync(inside('plugins/config'), 'utf8')).toBe('text');
});

test('no link is made that leads out, and none that is there is followed out', async () => {
  const { inside, connect: enter } = await setUp();
  const sftp = await enter();
  const outside = scratch();
  writeFileSync(path.join(outside, 'secret'), 'secret');
  for (const target of ['..', '../x', 'plugins/../../x', '../../../../etc/passwd']) {
    expect(await statusOf(ask((done) => sftp.symlink(target, '/out', done))), target).toBe(
      STATUS_CODE.PERMISSION_DENIED,
    );
  }
  expect(existsSync(inside('out'))).toBe(false);
  // What looks absolute to a client is in the server's directory.
  await ask((done) => sftp.symlink('/../../etc/passwd', '/etc-passwd', done));
  expect(readlinkSync(inside('etc-passwd'))).toBe('etc/passwd');
  symlinkSync(path.join(outside, 'secret'), inside('way-out'));
  expect(await readLink(sftp, '/way-out')).toBe(path.join(outside, 'secret'));
  expect(await statusOf(look(sftp, '/way-out'))).toBe(STATUS_CODE.PERMISSION_DENIED);
  const mode = statSync(path.join(outside, 'secret')).mode;
  expect(await statusOf(ask((done) => sftp.setstat('/way-out', { mode: 0o777 } as never, done)))).toBe(
    STATUS_CODE.PERMISSION_DENIED,
  );
  expect(statSync(path.join(outside, 'secret')).mode).toBe(mode);
  symlinkSync('../plugins/config', inside('up-and-out'));
  const through = ask((done) => sftp.setstat('/up-and-out', { mode: 0o600 } as never, done));
  expect(await statusOf(through)).toBe(STATUS_CODE.PERMISSION_DENIED);
  expect(statSync(inside('plugins/config')).mode & 0o777).not.toBe(0o600);
  symlinkSync('round', inside('round'));
  expect(await statusOf(ask((done) => sftp.setstat('/round', { mtime: 1, atime: 1 } as never, done)))).toBe(
    STATUS_CODE.NO_SUCH_FILE,
  );
});

test('what is wrong with a link is answered', async () => {
  const { connect: enter } = await setUp();
  const sftp = await enter();
  expect(await statusOf(readLink(sftp, '/nothing'))).toBe(STATUS_CODE.NO_SUCH_FILE);
  expect(await statusOf(readLink(sftp, '/plugins/config'))).toBe(STATUS_CODE.FAILURE);
  expect(await statusOf(readLink(sftp, '/'))).not.toBe('it was done');
  const taken = ask((done) => sftp.symlink('x', '/plugins/config', done));
  expect(await statusOf(taken)).toBe(STATUS_CODE.FAILURE);
  expect(await statusOf(ask((done) => sftp.symlink('x', '/', done)))).toBe(STATUS_CODE.FAILURE);
  expect(await statusOf(ask((done) => sftp.symlink('x', '/nothing/link', done)))).toBe(
    STATUS_CODE.NO_SUCH_FILE,
  );
  expect(await statusOf(ask((done) => sftp.symlink('', '/empty', done)))).not.toBe('it was done');
});

test('who may not write makes no links', async () => {
  const { id, login } = await setUp();
  const member = await stage.panel.createUser();
  const permissions = ['server.read', 'file.read'];
  const { prisma } = stage.panel.context.database;
  await prisma.serverAccess.create({ data: { userId: member.id, serverId: id, permissions } });
  const client = await connect({ port: login.port, username: id, password: member.token });
  const sftp = await openSftp(client);
  expect(await statusOf(ask((done) => sftp.symlink('plugins/config', '/link', done)))).toBe(
    STATUS_CODE.PERMISSION_DENIED,
  );
});
