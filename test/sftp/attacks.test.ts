import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { connect as connectSocket, type Socket } from 'node:net';
import path from 'node:path';
import ssh2, { type SFTPWrapper } from 'ssh2';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { addKey, ask, connect, openFile, openSftp, type SftpStage, setSftpStage } from './harness.js';

const MEGABYTE = 1024 * 1024;
const GLOBAL_REQUEST = 80;
const READDIR = 12;

/** Of ssh2's client, what it does not show. */
interface Wire {
  _protocol: {
    _cipher: { encrypt(packet: Buffer): void };
    _packetRW: {
      write: { allocStart: number; alloc(bytes: number): Buffer; finalize(packet: Buffer): Buffer };
    };
    session(channel: number, window: number, packetBytes: number): void;
    channelData(channel: number, data: Buffer): void;
    rekey(): void;
    _onWrite(data: Buffer): void;
  };
}

let stage: SftpStage;
let privateText: string;

beforeAll(async () => {
  stage = await setSftpStage();
  privateText = (await addKey(stage, stage.owner)).privateText;
});

afterAll(() => stage.close());

async function enter() {
  const server = await stage.makeServer();
  const socket = connectSocket(stage.port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  const client = await connect({ port: stage.port, username: server.id, privateText }, { sock: socket });
  return { ...server, client, socket, wire: (client as unknown as Wire)._protocol };
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function send(wire: Wire['_protocol'], payload: Buffer): void {
  const { write } = wire._packetRW;
  const start = write.allocStart;
  const packet = write.alloc(payload.length);
  packet.set(payload, start);
  wire._cipher.encrypt(write.finalize(packet));
}

function globalRequest(name: string, data = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from([GLOBAL_REQUEST]), text(name), Buffer.from([1]), data]);
}

/** Whatever one client does, others are answered. */
async function requireOthersAnswered(): Promise<void> {
  const { client } = await enter();
  await ask((done) => void openSftp(client).then((sftp) => sftp.stat('/', done as never)));
  client.destroy();
}

async function whenSent(socket: Socket): Promise<void> {
  if (socket.writableLength > 0 && !socket.destroyed)
    await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
}

test('a channel that takes packets of no bytes is not served', async () => {
  const { client, wire } = await enter();
  const session = wire.session.bind(wire);
  wire.session = (channel, window) => session(channel, window, 0);
  await expect(openSftp(client)).rejects.toThrow();
  await requireOthersAnswered();
});

test('requests that are no business of the server take no time, whatever is in them', async () => {
  const { client, wire } = await enter();
  const slow = `-----BEGIN RSA PRIVATE KEY-----\n${'a:b\n'.repeat(8000)}`;
  const startedAtMs = performance.now();
  for (let count = 0; count < 20; count += 1) {
    send(wire, globalRequest('hostkeys-00@openssh.com', text(slow)));
  }
  await ask((done) => void openSftp(client).then((sftp) => sftp.stat('/', done as never)));
  expect(performance.now() - startedAtMs).toBeLessThan(3000);
});

test('who asks on and on and takes no answers is sent away', async () => {
  const { client, socket, wire } = await enter();
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  let isClosed = false;
  void closed.then(() => {
    isClosed = true;
  });
  socket.pause();
  const packet = globalRequest('keepalive@openssh.com');
  for (let round = 0; round < 400 && !isClosed; round += 1) {
    for (let count = 0; count < 1000; count += 1) send(wire, packet);
    await whenSent(socket);
  }
  socket.resume();
  await closed;
  await requireOthersAnswered();
});

function readDirectory(handle: Buffer, count: number): Buffer {
  const request = Buffer.alloc(4 + 1 + 4 + 4 + handle.length);
  request.writeUInt32BE(request.length - 4, 0);
  request[4] = READDIR;
  request.writeUInt32BE(handle.length, 9);
  handle.copy(request, 13);
  return Buffer.concat(Array.from({ length: count }, () => request));
}

test('lists that nobody takes are not made', async () => {
  const { client, directory, socket, wire } = await enter();
  mkdirSync(path.join(directory, 'many'));
  for (let index = 0; index < 1000; index += 1) {
    writeFileSync(path.join(directory, 'many', `${index}`.padEnd(250, 'x')), '');
  }
  const sftp = await openSftp(client);
  const { outgoing } = sftp as unknown as { outgoing: { id: number } };
  const before = process.memoryUsage();
  const handles: Buffer[] = [];
  for (let count = 0; count < 60; count += 1) {
    handles.push(await ask<Buffer>((done) => sftp.opendir('/many', done as never)));
  }
  socket.pause();
  for (const handle of handles) {
    for (let count = 0; count < 10; count += 1) wire.channelData(outgoing.id, readDirectory(handle, 1));
  }
  for (let count = 0; count < 20; count += 1) await requireOthersAnswered();
  const now = process.memoryUsage();
  expect(now.arrayBuffers - before.arrayBuffers).toBeLessThan(20 * MEGABYTE);
});

async function openLarge(sftp: SFTPWrapper, directory: string): Promise<Buffer> {
  writeFileSync(path.join(directory, 'large'), Buffer.alloc(64 * MEGABYTE), { mode: 0o666 });
  return openFile(sftp, '/large', ssh2.utils.sftp.OPEN_MODE.READ);
}

test('nothing is read while keys are exchanged for ever', async () => {
  const { client, directory, wire } = await enter();
  const session = wire.session.bind(wire);
  wire.session = (channel, _, packetBytes) => session(channel, 2 ** 31, packetBytes);
  const sftp = await openSftp(client);
  const handle = await openLarge(sftp, directory);
  const before = process.memoryUsage();
  const piece = Buffer.alloc(31 * 1024);
  for (let index = 0; index < 2000; index += 1) {
    sftp.read(handle, piece, 0, piece.length, index * piece.length, () => {});
  }
  const write = wire._onWrite.bind(wire);
  let sent = 0;
  wire._onWrite = (data) => {
    sent += 1;
    if (sent === 1) write(data);
  };
  wire.rekey();
  for (let count = 0; count < 50; count += 1) await requireOthersAnswered();
  const now = process.memoryUsage();
  expect(now.arrayBuffers - before.arrayBuffers).toBeLessThan(24 * MEGABYTE);
});

test('a file that is closed while its reader takes nothing is read to the end, and closed', async () => {
  const { client, directory, socket } = await enter();
  const sftp = await openSftp(client);
  const handle = await openLarge(sftp, directory);
  socket.pause();
  const piece = Buffer.alloc(31 * 1024);
  let answered = 0;
  for (let index = 0; index < 1000; index += 1) {
    sftp.read(handle, piece, 0, piece.length, index * piece.length, () => {
      answered += 1;
    });
  }
  const closed = ask((done) => sftp.close(handle, done));
  for (let count = 0; count < 10; count += 1) await requireOthersAnswered();
  socket.resume();
  await closed;
  expect(answered).toBe(1000);
});

async function recordedDeletions(serverId: string): Promise<number> {
  const rows = await stage.panel.context.database.prisma.auditLog.findMany({
    where: { serverId, action: 'sftp.delete' },
  });
  return rows.reduce((sum, { metadata }) => sum + (metadata as { count: number }).count, 0);
}

test('what is deleted is recorded, whenever the client hangs up', async () => {
  for (let round = 0; round < 10; round += 1) {
    const { client, id, directory } = await enter();
    for (let index = 0; index < 100; index += 1) writeFileSync(path.join(directory, `${index}`), '');
    const sftp = await openSftp(client);
    const [last, ...others] = Array.from({ length: 30 + round }, (_, index) =>
      ask((done) => sftp.unlink(`/${index}`, done)),
    ).reverse();
    for (const other of others) other.catch(() => {});
    await last;
    for (let index = 30 + round; index < 100; index += 1) sftp.unlink(`/${index}`, () => {});
    client.destroy();
    const [left] = await eventually('its end has been seen to', async () => {
      const before = readdirSync(directory).length;
      const recorded = await recordedDeletions(id);
      return recorded > 0 && before === readdirSync(directory).length && [before, recorded];
    });
    expect(100 - Number(left), `round ${round}`).toBe(await recordedDeletions(id));
  }
});

test('a failed login is recorded whatever its user name, and of that no more than a little', async () => {
  const username = `\0${'x'.repeat(20_000)}`;
  await expect(connect({ port: stage.port, username, password: 'wrong' })).rejects.toThrow();
  const rows = await eventually('it is recorded', async () => {
    const found = await stage.panel.context.database.prisma.auditLog.findMany({
      where: { action: 'sftp.login_failed' },
    });
    return found.length > 0 && found;
  });
  expect(JSON.stringify(rows[0]?.metadata).length).toBeLessThan(1000);
});
