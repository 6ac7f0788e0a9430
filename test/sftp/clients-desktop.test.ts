import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ssh2, { type FileEntryWithStats, type SFTPWrapper, type Stats } from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeTree } from './clients.js';
import { addKey, ask, connect, openSftp, type SftpStage, setSftpStage, statusOf } from './harness.js';

const { OPEN_MODE, STATUS_CODE } = ssh2.utils.sftp;
const PIECE_BYTES = 32_768;
/** So many are on their way before the first is answered. */
const PIECES_AT_ONCE = 64;
const OLD = 1_000_000_000;

let stage: SftpStage;
let privateText: string;

beforeAll(async () => {
  stage = await setSftpStage();
  privateText = (await addKey(stage, stage.owner)).privateText;
});

afterAll(() => stage.close());

async function setUp() {
  const server = await stage.makeServer();
  const connectAgain = async () =>
    openSftp(await connect({ port: stage.port, username: server.id, privateText }));
  return {
    sftp: await connectAgain(),
    connectAgain,
    inside: (...names: string[]) => path.join(server.directory, ...names),
  };
}

const open = (sftp: SFTPWrapper, name: string, flags: number) =>
  ask<Buffer>((done) => sftp.open(name, flags as never, done as never));
const close = (sftp: SFTPWrapper, handle: Buffer) => ask((done) => sftp.close(handle, done));
const stat = (sftp: SFTPWrapper, name: string) => ask<Stats>((done) => sftp.stat(name, done as never));
const list = (sftp: SFTPWrapper, name: string) =>
  ask<FileEntryWithStats[]>((done) => sftp.readdir(name, done as never));
const realPath = (sftp: SFTPWrapper, name: string) =>
  ask<string>((done) => sftp.realpath(name, done as never));
const setTimes = (sftp: SFTPWrapper, name: string, seconds: number) =>
  ask((done) => sftp.utimes(name, seconds, seconds, done));

/** Writes ahead without waiting for answers, as all of them do. */
async function pour(sftp: SFTPWrapper, handle: Buffer, content: Buffer, from = 0): Promise<void> {
  const waiting = new Set<Promise<void>>();
  for (let place = from; place < content.length; place += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, content.length - place);
    const write = ask((done) => sftp.write(handle, content, place, length, place, done));
    const settled = write.finally(() => waiting.delete(settled));
    waiting.add(settled);
    if (waiting.size >= PIECES_AT_ONCE) await Promise.race(waiting);
  }
  await Promise.all(waiting);
}

/** Asks for pieces ahead, and takes a short one as one to be asked for again from where it ended. */
async function draw(sftp: SFTPWrapper, name: string, from = 0): Promise<Buffer> {
  const handle = await open(sftp, name, OPEN_MODE.READ);
  const { size } = await ask<Stats>((done) => sftp.fstat(handle, done as never));
  const content = Buffer.alloc(size - from);
  async function piece(start: number, end: number): Promise<void> {
    for (let place = start; place < end; ) {
      const bytes = await ask<number>((done) =>
        sftp.read(handle, content, place, end - place, from + place, (error, count) => done(error, count)),
      );
      if (bytes === 0) throw new Error(`The file ended at ${from + place} of ${size}.`);
      place += bytes;
    }
  }
  const pieces: Promise<void>[] = [];
  for (let place = 0; place < content.length; place += PIECE_BYTES) {
    pieces.push(piece(place, Math.min(place + PIECE_BYTES, content.length)));
    if (pieces.length % PIECES_AT_ONCE === 0) await Promise.all(pieces);
  }
  await Promise.all(pieces);
  await close(sftp, handle);
  return content;
}

/** Directories at the end, files at the beginning, one request after the other. */
async function removeAll(sftp: SFTPWrapper, name: string): Promise<void> {
  for (const entry of await list(sftp, name)) {
    const child = `${name}/${entry.filename}`;
    if (entry.attrs.isDirectory()) await removeAll(sftp, child);
    else await ask((done) => sftp.unlink(child, done));
  }
  await ask((done) => sftp.rmdir(name, done));
}

test('WinSCP: an upload has a temporary name until it is whole, then takes the place and gets its time', async () => {
  const { sftp, inside } = await setUp();
  const content = randomBytes(2_500_003);
  expect(await realPath(sftp, '.')).toBe('/');
  expect(await realPath(sftp, '/plugins/.')).toBe('/plugins');
  expect(await statusOf(stat(sftp, '/world.zip'))).toBe(STATUS_CODE.NO_SUCH_FILE);
  writeFileSync(inside('world.zip'), 'the one of before');
  const { WRITE, CREAT, TRUNC } = OPEN_MODE;
  const handle = await open(sftp, '/world.zip.filepart', WRITE | CREAT | TRUNC);
  await pour(sftp, handle, content);
  expect(readFileSync(inside('world.zip'), 'utf8')).toBe('the one of before');
  await close(sftp, handle);
  // It asks whether it must remove what is there, and is told that a rename does.
  expect((await stat(sftp, '/world.zip.filepart')).size).toBe(content.length);
  await ask((done) => sftp.rename('/world.zip.filepart', '/world.zip', done));
  await setTimes(sftp, '/world.zip', OLD);
  await ask((done) => sftp.setstat('/world.zip', { mode: 0o100640 } as never, done));
  const status = lstatSync(inside('world.zip'));
  expect([status.mtimeMs, status.mode & 0o777]).toEqual([OLD * 1000, 0o640]);
  expect(readdirSync(inside())).toEqual(['world.zip']);
  expect((await draw(sftp, '/world.zip')).equals(content)).toBe(true);
});

test('WinSCP: what was cut off has its temporary name, and goes on from its size', async () => {
  const { sftp, inside } = await setUp();
  const content = randomBytes(1_500_001);
  const { WRITE, CREAT, TRUNC } = OPEN_MODE;
  const first = await open(sftp, '/map.filepart', WRITE | CREAT | TRUNC);
  await pour(sftp, first, content.subarray(0, 700_000));
  await close(sftp, first);
  const { size } = await stat(sftp, '/map.filepart');
  expect(size).toBe(700_000);
  const second = await open(sftp, '/map.filepart', WRITE);
  await pour(sftp, second, content, size);
  await close(sftp, second);
  await ask((done) => sftp.rename('/map.filepart', '/map', done));
  expect(readFileSync(inside('map')).equals(content)).toBe(true);
  expect((await draw(sftp, '/map', 1_000_000)).equals(content.subarray(1_000_000))).toBe(true);
});

test('FileZilla: a directory is made, filled, listed with times, and its time is set afterwards', async () => {
  const { sftp, inside } = await setUp();
  expect(await realPath(sftp, '.')).toBe('/');
  expect(await statusOf(ask((done) => sftp.opendir('/plugins', done)))).toBe(STATUS_CODE.NO_SUCH_FILE);
  await ask((done) => sftp.mkdir('/plugins', done));
  expect(await statusOf(ask((done) => sftp.mkdir('/plugins', done)))).toBe(STATUS_CODE.FAILURE);
  const { WRITE, CREAT, TRUNC } = OPEN_MODE;
  const contents = new Map<string, Buffer>();
  for (const name of ['a.jar', 'ä b.jar', '-rf', '.hidden', '日本.yml']) {
    const content = randomBytes(100_000);
    contents.set(name, content);
    const handle = await open(sftp, `/plugins/${name}`, WRITE | CREAT | TRUNC);
    await pour(sftp, handle, content);
    await close(sftp, handle);
    await setTimes(sftp, `/plugins/${name}`, OLD);
  }
  await setTimes(sftp, '/plugins', OLD + 1);
  expect(statSync(inside('plugins')).mtimeMs).toBe((OLD + 1) * 1000);
  const entries = await list(sftp, '/plugins');
  expect(entries.map(({ filename }) => filename).sort()).toEqual([...contents.keys()].sort());
  for (const { attrs, longname } of entries) {
    expect([attrs.size, attrs.mtime, attrs.isFile()]).toEqual([100_000, OLD, true]);
    expect(longname).toMatch(/^-rw\S+ .* Sep .*2001 /);
  }
  for (const [name, content] of contents) {
    expect((await draw(sftp, `/plugins/${name}`)).equals(content), name).toBe(true);
  }
});

test('FileZilla: several connections share one queue, and a whole tree is removed one by one', async () => {
  const { sftp, connectAgain, inside } = await setUp();
  const { WRITE, CREAT, TRUNC } = OPEN_MODE;
  await ask((done) => sftp.mkdir('/tree', done));
  await ask((done) => sftp.mkdir('/tree/deep', done));
  await Promise.all(
    Array.from({ length: 8 }, async (_, lane) => {
      const own = await connectAgain();
      for (let index = 0; index < 10; index += 1) {
        const name = `/tree/${index % 2 ? 'deep/' : ''}${lane}-${index}`;
        const handle = await open(own, name, WRITE | CREAT | TRUNC);
        await pour(own, handle, Buffer.from(name));
        await close(own, handle);
      }
    }),
  );
  expect(describeTree(inside()).length).toBe(82);
  expect(readFileSync(inside('tree/deep/7-9'), 'utf8')).toBe('/tree/deep/7-9');
  await removeAll(sftp, '/tree');
  expect(existsSync(inside('tree'))).toBe(false);
});
