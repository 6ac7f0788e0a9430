import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { connect as connectSocket, type Socket } from 'node:net';
import path from 'node:path';
import ssh2, { type Stats } from 'ssh2';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { addKey, ask, connect, openFile, openSftp, readAt, type SftpStage, setSftpStage } from './harness.js';

const LARGE_BYTES = 64 * 1024 * 1024;
/** As much as the client of ssh2 asks for at once: more it fetches piece by piece. */
const PIECE_BYTES = 31 * 1024;
/** By when what was held up goes on. */
const GO_ON_MS = 2000;

let stage: SftpStage;

beforeAll(async () => {
  stage = await setSftpStage();
});

afterAll(() => stage.close());

async function open(): Promise<Socket> {
  const socket = connectSocket(stage.port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

test('strangers of one address get no more than so many connections', async () => {
  const sockets = await Promise.all(Array.from({ length: 40 }, open));
  for (const socket of sockets) socket.resume();
  await eventually('the others are gone', () => sockets.filter((socket) => socket.destroyed).length === 20);
  for (const socket of sockets) socket.destroy();
  const { privateText } = await addKey(stage, stage.owner);
  const server = await stage.makeServer();
  const login = { port: stage.port, username: server.id, privateText };
  const client = await eventually('there is place again', () => connect(login).catch(() => null));
  client.destroy();
});

test('a client that takes nothing makes the panel keep no more than a little', async () => {
  const { privateText } = await addKey(stage, stage.owner);
  const server = await stage.makeServer();
  writeFileSync(path.join(server.directory, 'large'), Buffer.alloc(LARGE_BYTES), { mode: 0o666 });
  const socket = await open();
  const client = await connect({ port: stage.port, username: server.id, privateText }, { sock: socket });
  const sftp = await openSftp(client);
  const handle = await ask<Buffer>((done) => sftp.open('/large', 'r', done as never));
  const before = process.memoryUsage();
  let answered = 0;
  socket.pause();
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let index = 0; index < 2000; index += 1) {
    sftp.read(handle, piece, 0, piece.length, index * piece.length, () => {
      answered += 1;
    });
  }
  // Whatever else is asked meanwhile is answered to others.
  const other = await openSftp(await connect({ port: stage.port, username: server.id, privateText }));
  for (let index = 0; index < 50; index += 1)
    await ask<ssh2.Stats>((done) => other.stat('/large', done as never));
  const grown = process.memoryUsage().arrayBuffers - before.arrayBuffers;
  expect(grown).toBeLessThan(32 * 1024 * 1024);
  socket.resume();
  await eventually('all are answered', () => answered === 2000);
});

test('a download whose client stops reading for a moment goes on at once, and comes whole', async () => {
  const { privateText } = await addKey(stage, stage.owner);
  const server = await stage.makeServer();
  const content = randomBytes(LARGE_BYTES);
  writeFileSync(path.join(server.directory, 'large'), content, { mode: 0o666 });
  const login = { port: stage.port, username: server.id, privateText };
  const socket = await open();
  const sftp = await openSftp(await connect(login, { sock: socket }));
  const other = await openSftp(await connect(login));
  const handle = await openFile(sftp, '/large', ssh2.utils.sftp.OPEN_MODE.READ);
  const received = Buffer.alloc(LARGE_BYTES);
  let answered = 0;
  let next = 0;
  /** As OpenSSH's client: so many requests ahead, one after the other. */
  const readOn = async () => {
    while (next < LARGE_BYTES) {
      const offset = next;
      next += PIECE_BYTES;
      (await readAt(sftp, handle, offset, PIECE_BYTES)).copy(received, offset);
      answered += 1;
    }
  };
  const downloads = Promise.all(Array.from({ length: 64 }, readOn));
  for (const share of [0.1, 0.3, 0.6]) {
    await eventually('it is under way', () => answered * PIECE_BYTES > share * LARGE_BYTES);
    socket.pause();
    for (let index = 0; index < 50; index += 1)
      await ask<Stats>((done) => other.stat('/large', done as never));
    const before = answered;
    const resumedAtMs = performance.now();
    socket.resume();
    await eventually('it goes on', () => answered > before + 64);
    expect(performance.now() - resumedAtMs).toBeLessThan(GO_ON_MS);
  }
  await downloads;
  expect(received.equals(content)).toBe(true);
});

test('who sends more than he is allowed is sent away, and nothing of it stays', async () => {
  const { privateText } = await addKey(stage, stage.owner);
  const server = await stage.makeServer();
  const client = await connect({ port: stage.port, username: server.id, privateText });
  const sftp = await openSftp(client);
  const { WRITE, CREAT, TRUNC } = ssh2.utils.sftp.OPEN_MODE;
  const handle = await openFile(sftp, '/large', WRITE | CREAT | TRUNC);
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  const { outgoing } = sftp as unknown as { outgoing: { window: number } };
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let offset = 0; offset < LARGE_BYTES; offset += piece.length) {
    outgoing.window = LARGE_BYTES;
    sftp.write(handle, piece, 0, piece.length, offset, () => {});
  }
  await closed;
  await eventually('nothing is left', () => readdirSync(server.directory).length === 0);
});

test('whoever asks for more in one request than is good for anybody is given less', async () => {
  const { privateText } = await addKey(stage, stage.owner);
  const server = await stage.makeServer();
  writeFileSync(path.join(server.directory, 'large'), Buffer.alloc(1024 * 1024), { mode: 0o666 });
  const ident = 'OpenSSH_9.2p1';
  const client = await connect({ port: stage.port, username: server.id, privateText }, { ident });
  const sftp = await openSftp(client);
  const handle = await openFile(sftp, '/large', ssh2.utils.sftp.OPEN_MODE.READ);
  const wire = sftp as unknown as { _maxReadLen: number };
  wire._maxReadLen = 0xffff_ffff;
  const buffer = Buffer.alloc(1024 * 1024);
  const lengths: number[] = [];
  await new Promise<void>((resolve, reject) => {
    sftp.read(handle, buffer, 0, buffer.length, 0, (error, length) => {
      lengths.push(length);
      return error ? reject(error) : resolve();
    });
  });
  expect(lengths).toEqual([255 * 1024]);
});

test('a client that breaks the protocol is sent away, and nothing else happens', async () => {
  const { privateText } = await addKey(stage, stage.owner);
  const server = await stage.makeServer();
  const login = { port: stage.port, username: server.id, privateText };
  for (const bytes of [Buffer.alloc(64, 0xff), Buffer.from([0, 0, 0, 1, 99]), Buffer.from([0, 0, 0, 0])]) {
    const client = await connect(login);
    const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
      client.subsys('sftp', (error, stream) => (error ? reject(error) : resolve(stream))),
    );
    const closed = once(channel, 'close');
    channel.resume();
    channel.write(bytes);
    await closed;
  }
  const garbage = await open();
  garbage.write('GET / HTTP/1.1\r\n\r\n');
  garbage.resume();
  await once(garbage, 'close');
  const sftp = await openSftp(await connect(login));
  await ask<ssh2.Stats>((done) => sftp.stat('/', done as never));
});
