import { randomBytes } from 'node:crypto';
import { appendFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ssh2, { type Attributes, type SFTPWrapper } from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
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
const PIECE_BYTES = 32 * 1024;
const MEGABYTE = 1024 * 1024;

let stage: SftpStage;
let privateText: string;

beforeAll(async () => {
  stage = await setSftpStage();
  privateText = (await addKey(stage, stage.owner)).privateText;
});

afterAll(() => stage.close());

async function setUp(content: Buffer) {
  const server = await stage.makeServer();
  const file = path.join(server.directory, 'file');
  writeFileSync(file, content);
  const sftp = await openSftp(await connect({ port: stage.port, username: server.id, privateText }));
  return { file, sftp, handle: await openFile(sftp, 'file', OPEN_MODE.READ) };
}

/** So many bytes in order, several requests ahead as clients do. */
async function readOn(sftp: SFTPWrapper, handle: Buffer, from: number, length: number): Promise<Buffer> {
  const offsets = Array.from({ length: length / PIECE_BYTES }, (_, index) => from + index * PIECE_BYTES);
  return Buffer.concat(await Promise.all(offsets.map((offset) => readAt(sftp, handle, offset, PIECE_BYTES))));
}

test('reads in order, and then anywhere and beside each other, answer what is there', async () => {
  const content = randomBytes(6 * MEGABYTE + 12_345);
  const { sftp, handle } = await setUp(content);
  const begin = await readOn(sftp, handle, 0, 4 * MEGABYTE);
  expect(begin.equals(content.subarray(0, 4 * MEGABYTE))).toBe(true);
  const places = Array.from({ length: 200 }, (_, index) => ({
    offset: (index * 7_654_321) % content.length,
    length: 1 + ((index * 98_765) % PIECE_BYTES),
  }));
  const answers = await Promise.all(places.map(({ offset, length }) => readAt(sftp, handle, offset, length)));
  for (const [index, { offset, length }] of places.entries()) {
    const expected = content.subarray(offset, offset + length);
    expect(answers[index]?.equals(expected), `${offset}, ${length}`).toBe(true);
  }
  const end = content.length - 12_345;
  expect((await readAt(sftp, handle, end, PIECE_BYTES)).equals(content.subarray(end))).toBe(true);
});

test('what the same client has written meanwhile is what is read', async () => {
  const { sftp, handle } = await setUp(Buffer.alloc(4 * MEGABYTE, 'a'));
  const writer = await openFile(sftp, 'file', OPEN_MODE.READ | OPEN_MODE.WRITE);
  for (let offset = 0; offset < 3 * MEGABYTE; offset += MEGABYTE) {
    expect((await readOn(sftp, handle, offset, MEGABYTE)).includes('b', 3)).toBe(false);
    await writeAt(sftp, writer, offset + MEGABYTE, 'b');
    expect(String(await readAt(sftp, handle, offset + MEGABYTE, 3))).toBe('baa');
    await writeAt(sftp, writer, offset + MEGABYTE, 'a');
  }
  await closeHandle(sftp, writer);
});

test('a file that grows is read on', async () => {
  const content = randomBytes(2 * MEGABYTE);
  const { file, sftp, handle } = await setUp(content);
  expect((await readOn(sftp, handle, 0, content.length)).equals(content)).toBe(true);
  expect((await readAt(sftp, handle, content.length, 10)).length).toBe(0);
  appendFileSync(file, 'more');
  expect(String(await readAt(sftp, handle, content.length, 10))).toBe('more');
});

test('what others write is read after a second at most, however slowly a client reads on', async () => {
  const { file, sftp, handle } = await setUp(Buffer.alloc(8 * MEGABYTE, 'a'));
  await readOn(sftp, handle, 0, MEGABYTE);
  writeFileSync(file, Buffer.alloc(8 * MEGABYTE, 'b'));
  let offset = MEGABYTE;
  await eventually('it is new', async () => {
    const piece = await readAt(sftp, handle, offset, 1024);
    offset += piece.length;
    return piece.includes('b');
  });
  // Nothing old comes after something new.
  expect((await readOn(sftp, handle, offset, MEGABYTE)).includes('a')).toBe(false);
});

const CUTS = {
  'by its path': (sftp: SFTPWrapper, size: number) => setSize(sftp, size),
  'by another handle': async (sftp: SFTPWrapper, size: number) => {
    const writer = await openFile(sftp, 'file', OPEN_MODE.READ | OPEN_MODE.WRITE);
    await ask<void>((done) => sftp.fsetstat(writer, { size } as Attributes, done));
    await closeHandle(sftp, writer);
  },
};

async function setSize(sftp: SFTPWrapper, size: number): Promise<void> {
  await ask<void>((done) => sftp.setstat('file', { size } as Attributes, done));
}

test.each(Object.entries(CUTS))(
  'what the same client has cut off %s is not read any more',
  async (_, cut) => {
    const { sftp, handle } = await setUp(randomBytes(2 * MEGABYTE));
    await readOn(sftp, handle, 0, MEGABYTE / 2);
    // One after the other, so that the last is answered while what comes next is fetched.
    for (const index of [16, 17, 18, 19]) await readAt(sftp, handle, index * PIECE_BYTES, PIECE_BYTES);
    await cut(sftp, MEGABYTE / 2);
    expect(await readAt(sftp, handle, 20 * PIECE_BYTES, PIECE_BYTES)).toHaveLength(0);
  },
);
