import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import ssh2, { type SFTPWrapper } from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
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

const { OPEN_MODE, STATUS_CODE } = ssh2.utils.sftp;

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
  return {
    ...server,
    login,
    inside: (...names: string[]) => path.join(server.directory, ...names),
    connect: async () => openSftp(await connect(login)),
  };
}

const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Numbers instead of what OpenSSH's client sends, for odd cases. */
const open = (sftp: SFTPWrapper, name: string, flags: number) =>
  ask<Buffer>((done) => sftp.open(name, flags as never, done as never));
const read = (sftp: SFTPWrapper, handle: Buffer, offset: number, length: number) =>
  new Promise<Buffer>((resolve, reject) => {
    const buffer = Buffer.alloc(length);
    sftp.read(handle, buffer, 0, length, offset, (error, count) =>
      error ? reject(error) : resolve(buffer.subarray(0, count)),
    );
  });
const write = (sftp: SFTPWrapper, handle: Buffer, offset: number, data: string) =>
  ask((done) => sftp.write(handle, Buffer.from(data), 0, data.length, offset, done));
const close = (sftp: SFTPWrapper, handle: Buffer) => ask((done) => sftp.close(handle, done));

test('files go up and come down as they are, with every cipher', async () => {
  const server = await setUp();
  const directory = scratch();
  const content = randomBytes(9_000_001);
  writeFileSync(path.join(directory, 'up'), content);
  for (const cipher of ['chacha20-poly1305@openssh.com', 'aes128-gcm@openssh.com', 'aes256-ctr']) {
    const commands = [`put ${directory}/up there`, `get there ${directory}/down`, 'rm there'];
    const result = await runSftp(server.login, commands, ['-c', cipher]);
    expect(result, cipher).toMatchObject({ code: 0, stderr: '' });
    expect(hashOf(readFileSync(path.join(directory, 'down')))).toBe(hashOf(content));
    expect(existsSync(server.inside('there'))).toBe(false);
  }
});

test('the commands of OpenSSH work', async () => {
  const server = await setUp();
  const directory = scratch();
  writeFileSync(path.join(directory, 'text'), 'hello\n');
  mkdirSync(path.join(directory, 'tree', 'deep'), { recursive: true });
  writeFileSync(path.join(directory, 'tree', 'deep', 'leaf'), 'green');
  writeFileSync(path.join(directory, 'empty'), '');
  const result = await runSftp(server.login, [
    'mkdir plugins',
    'cd plugins',
    `put ${directory}/text config.yml`,
    `put ${directory}/empty empty`,
    'chmod 600 config.yml',
    'rename config.yml settings.yml',
    'ls -l',
    `put -r ${directory}/tree`,
    `get -r tree ${directory}/back`,
    'cd ..',
    'mkdir old',
    'rmdir old',
    'pwd',
  ]);
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(result.stdout).toMatch(/-rw-------\s.*\s6 .*settings\.yml/);
  expect(readFileSync(server.inside('plugins/settings.yml'), 'utf8')).toBe('hello\n');
  expect(statSync(server.inside('plugins/settings.yml')).mode & 0o777).toBe(0o600);
  expect(statSync(server.inside('plugins/empty')).size).toBe(0);
  expect(readFileSync(path.join(directory, 'back/deep/leaf'), 'utf8')).toBe('green');
  expect(existsSync(server.inside('old'))).toBe(false);
});

test('an interrupted transfer goes on where it ended', async () => {
  const server = await setUp();
  const directory = scratch();
  const content = randomBytes(1_000_000);
  writeFileSync(path.join(directory, 'up'), content);
  writeFileSync(server.inside('up'), content.subarray(0, 400_000), { mode: 0o666 });
  expect((await runSftp(server.login, [`reput ${directory}/up up`])).code).toBe(0);
  expect(hashOf(readFileSync(server.inside('up')))).toBe(hashOf(content));
  writeFileSync(path.join(directory, 'down'), content.subarray(0, 700_000));
  expect((await runSftp(server.login, [`reget up ${directory}/down`])).code).toBe(0);
  expect(hashOf(readFileSync(path.join(directory, 'down')))).toBe(hashOf(content));
});

test('what is wrong is answered with the status for it', async () => {
  const server = await setUp();
  const sftp = await server.connect();
  writeFileSync(server.inside('file'), 'text', { mode: 0o666 });
  mkdirSync(server.inside('full'));
  writeFileSync(server.inside('full/child'), '');
  const { NO_SUCH_FILE, FAILURE } = STATUS_CODE;
  const cases: [string, () => Promise<unknown>, number][] = [
    ['stat of nothing', () => ask((done) => sftp.stat('/nothing', done)), NO_SUCH_FILE],
    ['open of nothing', () => open(sftp, '/nothing', OPEN_MODE.READ), NO_SUCH_FILE],
    ['list of nothing', () => ask((done) => sftp.opendir('/nothing', done)), NO_SUCH_FILE],
    ['list of a file', () => ask((done) => sftp.opendir('/file', done)), NO_SUCH_FILE],
    ['a path through a file', () => ask((done) => sftp.stat('/file/x', done)), NO_SUCH_FILE],
    ['a directory that is there', () => ask((done) => sftp.mkdir('/full', done)), FAILURE],
    ['a directory that is not empty', () => ask((done) => sftp.rmdir('/full', done)), FAILURE],
    ['rmdir of a file', () => ask((done) => sftp.rmdir('/file', done)), FAILURE],
    ['remove of a directory', () => ask((done) => sftp.unlink('/full', done)), FAILURE],
    ['remove of everything', () => ask((done) => sftp.rmdir('/', done)), FAILURE],
    ['rename of nothing', () => ask((done) => sftp.rename('/nothing', '/x', done)), NO_SUCH_FILE],
    ['rename of everything', () => ask((done) => sftp.rename('/', '/x', done)), FAILURE],
    [
      'exclusive over a file',
      () => open(sftp, '/file', OPEN_MODE.WRITE | OPEN_MODE.CREAT | OPEN_MODE.EXCL),
      FAILURE,
    ],
    ['an unknown handle', () => close(sftp, Buffer.from('what')), FAILURE],
    ['a long handle', () => close(sftp, Buffer.alloc(200)), FAILURE],
    ['opening a directory to write', () => open(sftp, '/full', OPEN_MODE.WRITE), FAILURE],
  ];
  for (const [name, request, status] of cases) expect(await statusOf(request()), name).toBe(status);
});

test('opening does what its flags say', async () => {
  const server = await setUp();
  const sftp = await server.connect();
  const { READ, WRITE, APPEND, CREAT, TRUNC, EXCL } = OPEN_MODE;
  const text = () => readFileSync(server.inside('file'), 'utf8');

  const made = await open(sftp, '/file', WRITE | CREAT | EXCL);
  await write(sftp, made, 0, 'hello world');
  expect(await statusOf(read(sftp, made, 0, 5))).not.toBe('it was done');
  await close(sftp, made);
  expect(text()).toBe('hello world');

  const inPlace = await open(sftp, '/file', WRITE | CREAT);
  await write(sftp, inPlace, 6, 'there');
  await close(sftp, inPlace);
  expect(text()).toBe('hello there');

  const appending = await open(sftp, '/file', WRITE | APPEND);
  await write(sftp, appending, 0, '!');
  await close(sftp, appending);
  expect(text()).toBe('hello there!');

  const both = await open(sftp, '/file', READ | WRITE);
  await write(sftp, both, 0, 'J');
  expect((await read(sftp, both, 0, 5)).toString()).toBe('Jello');
  await close(sftp, both);

  const emptied = await open(sftp, '/file', WRITE | CREAT | TRUNC);
  await close(sftp, emptied);
  expect(text()).toBe('');

  const reading = await open(sftp, '/file', READ);
  expect(await statusOf(write(sftp, reading, 0, 'x'))).not.toBe('it was done');
  await close(sftp, reading);
  expect(await statusOf(close(sftp, reading))).toBe(STATUS_CODE.FAILURE);
});

test('reading at the end of a file says so', async () => {
  const server = await setUp();
  const sftp = await server.connect();
  writeFileSync(server.inside('file'), 'hello');
  const handle = await open(sftp, '/file', OPEN_MODE.READ);
  expect((await read(sftp, handle, 2, 100)).toString()).toBe('llo');
  // ssh2's client answers the end as no bytes.
  expect((await read(sftp, handle, 5, 100)).length).toBe(0);
  expect((await read(sftp, handle, 5000, 100)).length).toBe(0);
  expect(await statusOf(read(sftp, handle, 2 ** 60, 100))).toBe(STATUS_CODE.BAD_MESSAGE);
  await close(sftp, handle);
});

test('attributes are read and set, but for whose a file is', async () => {
  const server = await setUp();
  const sftp = await server.connect();
  writeFileSync(server.inside('file'), 'hello', { mode: 0o666 });
  const before = statSync(server.inside('file'));
  const time = Date.UTC(2020, 1, 2, 3, 4, 5) / 1000;
  await ask((done) =>
    sftp.setstat(
      '/file',
      { mode: 0o106755 as number, uid: 0, gid: 0, atime: time, mtime: time } as never,
      done,
    ),
  );
  const after = statSync(server.inside('file'));
  expect(after.mode & 0o7777).toBe(0o755);
  expect(after.mtimeMs).toBe(time * 1000);
  expect([after.uid, after.gid]).toEqual([before.uid, before.gid]);
  await ask((done) => sftp.setstat('/file', { size: 2 } as never, done));
  expect(readFileSync(server.inside('file'), 'utf8')).toBe('he');
  await ask((done) => sftp.chown('/file', 1, 1, done));
  const handle = await open(sftp, '/file', OPEN_MODE.READ | OPEN_MODE.WRITE);
  await ask((done) => sftp.fsetstat(handle, { mode: 0o640, mtime: 5, atime: 5 } as never, done));
  const shown = await ask<ssh2.Stats>((done) => sftp.fstat(handle, done as never));
  expect(shown.isFile()).toBe(true);
  expect([shown.mode & 0o777, shown.mtime, shown.size]).toEqual([0o640, 5, 2]);
  await close(sftp, handle);
});

test('renaming over a file replaces it', async () => {
  const server = await setUp();
  const sftp = await server.connect();
  writeFileSync(server.inside('new.filepart'), 'new');
  writeFileSync(server.inside('file'), 'old');
  await ask((done) => sftp.rename('/new.filepart', '/file', done));
  expect(readFileSync(server.inside('file'), 'utf8')).toBe('new');
  expect(readdirSync(server.directory)).toEqual(['file']);
});

test('a long directory is listed whole, each name once', async () => {
  const server = await setUp();
  const names = Array.from({ length: 2345 }, (_, index) => `file-${index}-ü${'x'.repeat(index % 100)}`);
  for (const name of names) writeFileSync(server.inside(name), '');
  const sftp = await server.connect();
  const list = await ask<ssh2.FileEntryWithStats[]>((done) => sftp.readdir('/', done as never));
  expect(list.map(({ filename }) => filename).sort()).toEqual(names.sort());
  expect(list[0]?.longname).toMatch(/^-rw/);
}, 60_000);

test('paths are tidied, and nothing outside is reached', async () => {
  const server = await setUp();
  const sftp = await server.connect();
  writeFileSync(server.inside('file'), 'inside');
  const secret = path.join(scratch(), 'secret');
  writeFileSync(secret, 'secret');
  symlinkSync(secret, server.inside('link'));
  symlinkSync('file', server.inside('good-link'));
  symlinkSync(path.dirname(secret), server.inside('way-out'));
  for (const [given, shown] of [
    ['.', '/'],
    ['', '/'],
    ['/../..', '/'],
    ['a/../b/./c/', '/b/c'],
    ['//etc', '/etc'],
  ]) {
    expect(await ask<string>((done) => sftp.realpath(given ?? '', done as never)), given).toBe(shown);
  }
  expect((await ask<ssh2.Stats>((done) => sftp.stat('/../../file', done as never))).size).toBe(6);
  expect((await ask<ssh2.Stats>((done) => sftp.stat('good-link', done as never))).size).toBe(6);
  expect((await ask<ssh2.Stats>((done) => sftp.lstat('link', done as never))).isSymbolicLink()).toBe(true);
  for (const name of ['link', 'way-out/secret', `..${secret}`, secret]) {
    expect(await statusOf(open(sftp, name, OPEN_MODE.READ)), name).not.toBe('it was done');
    expect(await statusOf(open(sftp, name, OPEN_MODE.WRITE | OPEN_MODE.TRUNC)), name).not.toBe('it was done');
    expect(await statusOf(ask((done) => sftp.stat(name, done))), name).not.toBe('it was done');
    expect(await statusOf(ask((done) => sftp.setstat(name, { mode: 0o777 } as never, done))), name).not.toBe(
      'it was done',
    );
  }
  await ask((done) => sftp.unlink('link', done));
  expect(readFileSync(secret, 'utf8')).toBe('secret');
  expect(lstatSync(server.inside('way-out')).isSymbolicLink()).toBe(true);
});

test('many requests ahead are all answered, writes in their order', async () => {
  const server = await setUp();
  const sftp = await server.connect();
  const handle = await open(sftp, '/file', OPEN_MODE.READ | OPEN_MODE.WRITE | OPEN_MODE.CREAT);
  const piece = 1000;
  const count = 5000;
  const writes = Array.from({ length: count }, (_, index) => {
    // Every second one is written over by the one after it.
    const place = Math.floor(index / 2) * piece;
    return write(sftp, handle, place, String(index).padStart(piece, '.'));
  });
  await Promise.all(writes);
  const reads = Array.from({ length: count / 2 }, (_, index) => read(sftp, handle, index * piece, piece));
  const texts = (await Promise.all(reads)).map((bytes) => bytes.toString().replaceAll('.', ''));
  expect(texts).toEqual(Array.from({ length: count / 2 }, (_, index) => String(index * 2 + 1)));
  await close(sftp, handle);
}, 60_000);

test('no more than so many files can be open, and what a client left open is closed', async () => {
  const server = await setUp();
  writeFileSync(server.inside('file'), 'hello');
  for (let round = 0; round < 3; round += 1) {
    const client = await connect(server.login);
    const sftp = await openSftp(client);
    for (let count = 0; count < 64; count += 1) await open(sftp, '/file', OPEN_MODE.READ);
    expect(await statusOf(open(sftp, '/file', OPEN_MODE.READ))).toBe(STATUS_CODE.FAILURE);
    client.destroy();
  }
  const sftp = await server.connect();
  let answer: unknown;
  for (let tries = 0; tries < 100 && !Buffer.isBuffer(answer); tries += 1) {
    answer = await open(sftp, '/file', OPEN_MODE.READ).catch((error: unknown) => error);
  }
  expect(Buffer.isBuffer(answer), String(answer)).toBe(true);
}, 60_000);
