import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import ssh2, { type SFTPWrapper, type Stats } from 'ssh2';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { watchMemory } from '../helpers/memory.js';
import { addKey, ask, connect, openFile, openSftp, type SftpStage, setSftpStage } from './harness.js';

const MEGABYTE = 1024 * 1024;
/** As much as the client of ssh2 asks for at once. */
const PIECE_BYTES = 31 * 1024;
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
  };
}

let stage: SftpStage;
let privateText: string;
let bystander: SFTPWrapper;

beforeAll(async () => {
  stage = await setSftpStage();
  privateText = (await addKey(stage, stage.owner)).privateText;
  const { id: username } = await stage.makeServer();
  const port = stage.port;
  const client = new ssh2.Client();
  client.connect({ host: '127.0.0.1', port, username, privateKey: privateText });
  await once(client, 'ready');
  client.setNoDelay(true);
  bystander = await openSftp(client);
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

function globalRequest(name: string, data: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from([GLOBAL_REQUEST]), text(name), Buffer.from([1]), data]);
}

/** A window that is never full. */
function takeEverything(wire: Wire['_protocol']): void {
  const session = wire.session.bind(wire);
  wire.session = (channel, _, packetBytes) => session(channel, 2 ** 31, packetBytes);
}

/** Whatever one client does, others are answered. */
async function requireOthersAnswered(times = 1): Promise<void> {
  for (let count = 0; count < times; count += 1) await ask<Stats>((done) => bystander.stat('/', done));
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
  for (let index = 0; index < 2000; index += 1) {
    writeFileSync(path.join(directory, 'many', `${index}`.padEnd(250, 'x')), '');
  }
  const sftp = await openSftp(client);
  const { outgoing } = sftp as unknown as { outgoing: { id: number } };
  const mostMemory = watchMemory(40 * MEGABYTE);
  const handles: Buffer[] = [];
  for (let count = 0; count < 60; count += 1) {
    handles.push(await ask<Buffer>((done) => sftp.opendir('/many', done as never)));
  }
  socket.pause();
  for (const handle of handles) {
    for (let count = 0; count < 20; count += 1) wire.channelData(outgoing.id, readDirectory(handle, 1));
  }
  await requireOthersAnswered(200);
  expect(mostMemory()).toBeLessThan(40 * MEGABYTE);
});

async function openLarge(sftp: SFTPWrapper, directory: string): Promise<Buffer> {
  writeFileSync(path.join(directory, 'large'), Buffer.alloc(64 * MEGABYTE), { mode: 0o666 });
  return openFile(sftp, '/large', ssh2.utils.sftp.OPEN_MODE.READ);
}

test('who asks on and on and takes no answers is sent away', async () => {
  const { client, directory, socket, wire } = await enter();
  takeEverything(wire);
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  const sftp = await openSftp(client);
  const handle = await openLarge(sftp, directory);
  socket.pause();
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let index = 0; index < 1000; index += 1) {
    sftp.read(handle, piece, 0, piece.length, index * piece.length, () => {});
  }
  await requireOthersAnswered(200);
  for (let count = 0; count < 3000; count += 1) send(wire, globalRequest('keepalive@openssh.com'));
  await requireOthersAnswered();
  socket.resume();
  await closed;
});

test('nothing is read while keys are exchanged for ever', async () => {
  const { client, directory, socket, wire } = await enter();
  takeEverything(wire);
  const sftp = await openSftp(client);
  const handle = await openLarge(sftp, directory);
  const mostMemory = watchMemory(24 * MEGABYTE);
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let index = 0; index < 6000; index += 1) {
    sftp.read(handle, piece, 0, piece.length, (index % 2000) * piece.length, () => {});
  }
  wire.rekey();
  // The other side waits for the rest of it.
  socket.write = () => true;
  await requireOthersAnswered(200);
  expect(mostMemory()).toBeLessThan(24 * MEGABYTE);
});

test('a file that is closed while its reader takes nothing is read to the end, and closed', async () => {
  const { client, directory, socket } = await enter();
  const sftp = await openSftp(client);
  const handle = await openLarge(sftp, directory);
  socket.pause();
  const piece = Buffer.alloc(PIECE_BYTES);
  let answered = 0;
  for (let index = 0; index < 1000; index += 1) {
    sftp.read(handle, piece, 0, piece.length, index * piece.length, () => {
      answered += 1;
    });
  }
  const closed = ask((done) => sftp.close(handle, done));
  await requireOthersAnswered(200);
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
  const { id, directory } = await stage.makeServer();
  const rounds = 20;
  for (let round = 0; round < rounds; round += 1) {
    const client = await connect({ port: stage.port, username: id, privateText });
    const sftp = await openSftp(client);
    const file = path.join(directory, `${round}`);
    writeFileSync(file, '');
    sftp.unlink(`/${round}`, () => {});
    while (existsSync(file)) await nextTurn();
    client.destroy();
  }
  await eventually('all are recorded', async () => (await recordedDeletions(id)) === rounds);
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
