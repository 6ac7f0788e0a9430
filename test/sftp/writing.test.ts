import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ssh2, { type SFTPWrapper, type Stats } from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
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
  statusOf,
  writeAt,
} from './harness.js';

const { OPEN_MODE, STATUS_CODE } = ssh2.utils.sftp;
const { WRITE, CREAT, TRUNC, EXCL, APPEND } = OPEN_MODE;

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
  const client = await connect(login);
  const inside = (...names: string[]) => path.join(server.directory, ...names);
  return { ...server, login, client, sftp: await openSftp(client), inside };
}

const look = (sftp: SFTPWrapper, name: string) => ask<Stats>((done) => sftp.stat(name, done as never));
const modeOf = (file: string) => statSync(file).mode & 0o7777;

test('what is written anew comes to its name when it is closed, and was to be seen by SFTP before', async () => {
  const { sftp, inside } = await setUp();
  writeFileSync(inside('old'), 'as before', { mode: 0o666 });
  const replacing = await openFile(sftp, '/old', WRITE | CREAT | TRUNC);
  const making = await openFile(sftp, '/new', WRITE | CREAT | EXCL);
  await writeAt(sftp, replacing, 0, 'anew');
  await writeAt(sftp, making, 0, 'new');
  expect(readFileSync(inside('old'), 'utf8')).toBe('as before');
  expect(existsSync(inside('new'))).toBe(false);
  expect((await look(sftp, '/old')).size).toBe(4);
  expect((await look(sftp, '/new')).size).toBe(3);
  await closeHandle(sftp, replacing);
  await closeHandle(sftp, making);
  expect(readFileSync(inside('old'), 'utf8')).toBe('anew');
  expect(readFileSync(inside('new'), 'utf8')).toBe('new');
  expect(readdirSync(inside()).sort()).toEqual(['new', 'old']);
});

test('what is written into a file that is there is there at once', async () => {
  const { sftp, inside } = await setUp();
  writeFileSync(inside('file'), 'as before', { mode: 0o666 });
  for (const flags of [WRITE, WRITE | CREAT, WRITE | APPEND | CREAT | TRUNC]) {
    const handle = await openFile(sftp, '/file', flags);
    await writeAt(sftp, handle, 0, 'x');
    expect(readFileSync(inside('file'), 'utf8')).toMatch(/^x/);
    await closeHandle(sftp, handle);
  }
});

test('files and directories are made with the permissions that are asked for', async () => {
  const { sftp, inside, login } = await setUp();
  const open = (name: string, flags: number, mode: number) =>
    ask<Buffer>((done) => sftp.open(name, flags as never, { mode }, done as never));
  await closeHandle(sftp, await open('/program', WRITE | CREAT | TRUNC, 0o755));
  await closeHandle(sftp, await open('/special', WRITE | CREAT | EXCL, 0o104711));
  await closeHandle(sftp, await open('/in-place', WRITE | CREAT, 0o600));
  await ask((done) => sftp.mkdir('/private', { mode: 0o40700 }, done));
  expect(['program', 'special', 'in-place', 'private'].map((name) => modeOf(inside(name)))).toEqual([
    0o755, 0o711, 0o600, 0o700,
  ]);
  const directory = scratch();
  writeFileSync(path.join(directory, 'script.sh'), '#!/bin/sh\n', { mode: 0o750 });
  expect((await runSftp(login, [`put -p ${directory}/script.sh`])).code).toBe(0);
  expect(modeOf(inside('script.sh'))).toBe(0o750);
  expect(statSync(inside('script.sh')).mtimeMs).toBe(
    Math.floor(statSync(path.join(directory, 'script.sh')).mtimeMs / 1000) * 1000,
  );
});

test('renaming replaces a file, never a directory', async () => {
  const { sftp, inside } = await setUp();
  writeFileSync(inside('file'), 'text');
  writeFileSync(inside('other'), 'other');
  mkdirSync(inside('empty'));
  mkdirSync(inside('full'));
  writeFileSync(inside('full/child'), '');
  const rename = (from: string, to: string) => statusOf(ask((done) => sftp.rename(from, to, done)));
  expect(await rename('/file', '/empty')).toBe(STATUS_CODE.FAILURE);
  expect(await rename('/full', '/empty')).toBe(STATUS_CODE.FAILURE);
  expect(await rename('/empty', '/full')).toBe(STATUS_CODE.FAILURE);
  expect(await rename('/empty', '/file')).toBe(STATUS_CODE.FAILURE);
  expect(await rename('/full', '/full/child/x')).not.toBe('it was done');
  expect(await rename('/file', '/file')).toBe('it was done');
  expect(await rename('/file', '/other')).toBe('it was done');
  expect(await rename('/full', '/moved')).toBe('it was done');
  expect(readdirSync(inside()).sort()).toEqual(['empty', 'moved', 'other']);
  expect(readFileSync(inside('other'), 'utf8')).toBe('text');
});

test('what is renamed or removed while it is written goes on under its new name, or nowhere', async () => {
  const { sftp, inside } = await setUp();
  const flags = WRITE | CREAT | TRUNC;
  const renamed = await openFile(sftp, '/file.filepart', flags);
  await writeAt(sftp, renamed, 0, 'one');
  await ask((done) => sftp.rename('/file.filepart', '/file', done));
  await writeAt(sftp, renamed, 3, 'two');
  await closeHandle(sftp, renamed);
  expect(readFileSync(inside('file'), 'utf8')).toBe('onetwo');
  const removed = await openFile(sftp, '/gone', flags);
  await ask((done) => sftp.unlink('/gone', done));
  await statusOf(closeHandle(sftp, removed));
  expect(readdirSync(inside())).toEqual(['file']);
});

/** One request by hand: `ssh2` sends no names but UTF-8. */
async function sendRaw(client: ssh2.Client, type: number, ...fields: Buffer[]): Promise<number> {
  const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
    client.subsys('sftp', (error, stream) => (error ? reject(error) : resolve(stream))),
  );
  const packet = (...parts: Buffer[]) => withLength(Buffer.concat(parts));
  channel.write(packet(Buffer.from([1, 0, 0, 0, 3])));
  channel.write(packet(Buffer.from([type, 0, 0, 0, 7]), ...fields));
  let received = Buffer.alloc(0);
  for await (const piece of channel) {
    received = Buffer.concat([received, piece as Buffer]);
    const end = 4 + (received.length >= 4 ? received.readUInt32BE(0) : 0);
    // The version, then a status: type, id, code.
    if (received.length >= end + 13) {
      expect(received[end + 4]).toBe(101);
      return received.readUInt32BE(end + 9);
    }
  }
  throw new Error('There was no answer.');
}

function withLength(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

test('a name that is not UTF-8 is shown as well as can be, and never taken for another one', async () => {
  const { client, sftp, directory } = await setUp();
  const named = (name: Buffer) => Buffer.concat([Buffer.from(`${directory}/`), name]);
  const latin = Buffer.from([0x63, 0x61, 0x66, 0xe9]);
  const shown = 'caf\ufffd';
  writeFileSync(named(latin), 'latin');
  writeFileSync(path.join(directory, shown), 'replacement');
  const list = await ask<ssh2.FileEntryWithStats[]>((done) => sftp.readdir('/', done as never));
  expect(list.map(({ filename }) => filename)).toEqual([shown, shown]);
  expect(list.filter(({ attrs }) => attrs.isFile()).length).toBeLessThan(2);
  for (const request of [
    look(sftp, shown),
    ask((done) => sftp.unlink(shown, done)),
    ask((done) => sftp.rename(shown, 'x', done)),
    openFile(sftp, shown, WRITE | CREAT | TRUNC),
    ask((done) => sftp.mkdir(shown, done)),
  ]) {
    expect(await statusOf(request)).toBe(STATUS_CODE.BAD_MESSAGE);
  }
  const REMOVE = 13;
  const MKDIR = 14;
  expect(await sendRaw(client, REMOVE, withLength(latin))).toBe(STATUS_CODE.BAD_MESSAGE);
  const other = Buffer.from([0x63, 0x61, 0x66, 0xe8]);
  expect(await sendRaw(client, MKDIR, withLength(other), Buffer.alloc(4))).toBe(STATUS_CODE.BAD_MESSAGE);
  expect(readFileSync(named(latin), 'utf8')).toBe('latin');
  expect(readFileSync(path.join(directory, shown), 'utf8')).toBe('replacement');
  expect(readdirSync(directory)).toHaveLength(2);
});
