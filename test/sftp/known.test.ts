import { appendFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ssh2, { type Attributes, type SFTPWrapper, type Stats } from 'ssh2';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  addKey,
  ask,
  closeHandle,
  connect,
  openFile,
  openSftp,
  readAt,
  type SftpStage,
  setSftpStage,
  writeAt,
} from './harness.js';

const { OPEN_MODE } = ssh2.utils.sftp;

let stage: SftpStage;
let privateText: string;
let server: Awaited<ReturnType<SftpStage['makeServer']>>;
let sftp: SFTPWrapper;

beforeAll(async () => {
  stage = await setSftpStage();
  privateText = (await addKey(stage, stage.owner)).privateText;
  server = await stage.makeServer();
});

beforeEach(async () => {
  sftp = await openSftp(await connect({ port: stage.port, username: server.id, privateText }));
});

afterAll(() => stage.close());

function write(name: string, content: string): void {
  writeFileSync(path.join(server.directory, name), content);
}

async function sizeOf(name: string): Promise<number> {
  return (await ask<Stats>((done) => sftp.stat(name, done))).size;
}

const setTimes = (name: string) => ask((done) => sftp.utimes(name, 1_000_000, 1_000_000, done));
const openToRead = (name: string) => openFile(sftp, name, OPEN_MODE.READ);

test('what was just opened is as it was then, and the next look is a new one', async () => {
  write('opened', 'four');
  await openToRead('opened');
  expect(await sizeOf('opened')).toBe(4);
  write('opened', 'more than four');
  expect(await sizeOf('opened')).toBe(14);
});

test('what was just set is as it was set', async () => {
  write('set', 'four');
  await setTimes('set');
  const { mtime, size } = await ask<Stats>((done) => sftp.stat('set', done));
  expect([mtime, size]).toEqual([1_000_000, 4]);
  write('set', 'more than four');
  expect(await sizeOf('set')).toBe(14);
});

const CHANGES: Record<string, (name: string) => Promise<void>> = {
  'a write in place': async (name) => {
    const handle = await openFile(sftp, name, OPEN_MODE.READ | OPEN_MODE.WRITE);
    await writeAt(sftp, handle, 0, 'nine more');
    await closeHandle(sftp, handle);
  },
  'another file of the name': async (name) => {
    write(`${name} before`, 'nine more');
    await ask((done) => sftp.rename(`${name} before`, name, done));
  },
  'a whole upload': async (name) => {
    const handle = await openFile(sftp, name, OPEN_MODE.WRITE | OPEN_MODE.CREAT | OPEN_MODE.TRUNC);
    await writeAt(sftp, handle, 0, 'nine more');
    await closeHandle(sftp, handle);
  },
  'another size': (name) => ask((done) => sftp.setstat(name, { size: 9 } as Attributes, done)),
};

test.each(Object.entries(CHANGES))('%s by the same client is seen at once', async (what, change) => {
  const name = what.replaceAll(' ', '-');
  for (const know of [openToRead, setTimes]) {
    write(name, 'four');
    await know(name);
    await change(name);
    expect(await sizeOf(name)).toBe(9);
  }
});

test('what is written to an upload that is under way is seen at once', async () => {
  const upload = await openFile(sftp, 'upload', OPEN_MODE.WRITE | OPEN_MODE.CREAT | OPEN_MODE.TRUNC);
  await openToRead('upload');
  await writeAt(sftp, upload, 0, 'nine more');
  expect(await sizeOf('upload')).toBe(9);
  await closeHandle(sftp, upload);
  expect(await sizeOf('upload')).toBe(9);
});

test('a link is still a link after what it leads to was opened', async () => {
  write('file', 'four');
  await ask((done) => sftp.symlink('file', 'link', done));
  await openToRead('link');
  expect((await ask<Stats>((done) => sftp.lstat('link', done))).isSymbolicLink()).toBe(true);
});

test('the end of a file is looked for again', async () => {
  write('log', 'four');
  const handle = await openToRead('log');
  const readOn = async (from: number) => String(await readAt(sftp, handle, from, 100));
  expect([await readOn(0), await readOn(4)]).toEqual(['four', '']);
  appendFileSync(path.join(server.directory, 'log'), ' and more');
  expect(await readOn(4)).toBe(' and more');
});
