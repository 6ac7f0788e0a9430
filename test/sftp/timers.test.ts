import { once } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import { createSigner } from 'fast-jwt';
import type { SFTPWrapper, Stats } from 'ssh2';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createApiKey } from '../helpers/accounts.js';
import { eventually } from '../helpers/condition.js';
import { JWT_SECRET } from '../helpers/panel.js';
import { addKey, ask, connect, openSftp, type SftpStage, setSftpStage } from './harness.js';

/** By when who may not be here any more is gone. */
const END_MS = 2000;

let stage: SftpStage;
let server: Awaited<ReturnType<SftpStage['makeServer']>>;
let privateText: string;
const logged: string[] = [];

beforeAll(async () => {
  stage = await setSftpStage({ log: { level: 'debug', write: (line) => logged.push(line) } });
  server = await stage.makeServer();
  privateText = (await addKey(stage, stage.owner)).privateText;
});

afterAll(() => stage.close());

const look = (sftp: SFTPWrapper) => ask<Stats>((done) => sftp.stat('/', done as never));

async function openSocket(port: number): Promise<Socket> {
  const socket = connectSocket(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** A token of the user's own session that ends at another time. */
function tokenUntil(expiresAtMs: number): string {
  const [, claims = ''] = stage.owner.token.split('.');
  const { userId, sid } = JSON.parse(Buffer.from(claims, 'base64url').toString());
  const iat = Math.floor(Date.now() / 1000) - 60;
  const sign = createSigner({ key: JWT_SECRET, algorithm: 'HS256', iss: 'catalyst' });
  return sign({ userId, sid, typ: 'access', iat, exp: Math.ceil(expiresAtMs / 1000) });
}

/** How long after the time it was over, and that it was not over before. */
async function endAfter(expiresAtMs: number, password: string): Promise<number> {
  const client = await connect({ port: stage.port, username: server.id, password });
  const closed = once(client, 'close');
  const sftp = await openSftp(client);
  await look(sftp);
  await closed;
  return Date.now() - expiresAtMs;
}

test('who does not sign in in time is sent away, whether he says something or not', async () => {
  const { port } = await stage.openDoor({ loginGraceMs: 200 });
  const silent = await openSocket(port);
  silent.resume();
  await once(silent, 'close');
  const talking = await openSocket(port);
  talking.resume();
  talking.write('SSH-2.0-somebody\r\n');
  await once(talking, 'close');
  const client = await connect({ port, username: server.id, privateText });
  const sftp = await openSftp(client);
  const untilMs = performance.now() + 300;
  while (performance.now() < untilMs) await look(sftp);
});

test('who asks for nothing for long is sent away, and told why', async () => {
  const { port } = await stage.openDoor({ idleMaxMs: 300, checkIntervalMs: 50 });
  const client = await connect({ port, username: server.id, privateText });
  const closed = once(client, 'close');
  const sftp = await openSftp(client);
  const untilMs = performance.now() + 600;
  while (performance.now() < untilMs) await look(sftp);
  await closed;
  expect(logged.some((line) => line.includes('did not ask for anything'))).toBe(true);
});

test('a client that is there no more is noticed, whatever it had asked for', async () => {
  const { port } = await stage.openDoor({ keepaliveIntervalMs: 50, keepalivesMissedMax: 2 });
  const socket = await openSocket(port);
  const client = await connect({ port, username: server.id, privateText }, { sock: socket });
  await openSftp(client);
  const before = logged.length;
  // Nothing more is answered, and the connection is not closed either.
  socket.pause();
  await eventually('its session has ended', () =>
    logged.slice(before).some((line) => line.includes('a session by SFTP has ended')),
  );
});

test('a client that answers stays, however little it asks for', async () => {
  const { port } = await stage.openDoor({ keepaliveIntervalMs: 20, keepalivesMissedMax: 2 });
  const client = await connect({ port, username: server.id, privateText });
  const sftp = await openSftp(client);
  let received = 0;
  const { _sock: socket } = client as unknown as { _sock: Socket };
  socket.on('data', () => {
    received += 1;
  });
  await eventually('it was asked often', () => received > 20);
  await look(sftp);
});

test('a token that expires ends the connection', async () => {
  const expiresAtMs = Math.ceil((Date.now() + 1500) / 1000) * 1000;
  const lateMs = await endAfter(expiresAtMs, tokenUntil(expiresAtMs));
  expect(lateMs).toBeGreaterThanOrEqual(0);
  expect(lateMs).toBeLessThan(END_MS);
  await expect(
    connect({ port: stage.port, username: server.id, password: tokenUntil(expiresAtMs) }),
  ).rejects.toThrow();
});

test('an API key that expires ends the connection', async () => {
  const expiresAtMs = Date.now() + 1500;
  const { id, key } = await createApiKey(stage.panel, stage.owner.token);
  const { prisma } = stage.panel.context.database;
  await prisma.apiKey.update({ where: { id }, data: { expiresAt: new Date(expiresAtMs) } });
  const lateMs = await endAfter(expiresAtMs, key);
  expect(lateMs).toBeGreaterThanOrEqual(-50);
  expect(lateMs).toBeLessThan(END_MS);
});
