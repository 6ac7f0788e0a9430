import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect as connectSocket, type Socket } from 'node:net';
import path from 'node:path';
import type ssh2 from 'ssh2';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { addKey, ask, connect, openSftp, type SftpStage, setSftpStage } from './harness.js';

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
  writeFileSync(path.join(server.directory, 'large'), Buffer.alloc(64 * 1024 * 1024), { mode: 0o666 });
  const socket = await open();
  const client = await connect({ port: stage.port, username: server.id, privateText }, { sock: socket });
  const sftp = await openSftp(client);
  const handle = await ask<Buffer>((done) => sftp.open('/large', 'r', done as never));
  const before = process.memoryUsage();
  let answered = 0;
  socket.pause();
  const piece = Buffer.alloc(32 * 1024);
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
