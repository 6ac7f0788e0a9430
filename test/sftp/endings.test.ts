import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ssh2, { type SFTPWrapper } from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiKey, enableTwoFactor } from '../helpers/accounts.js';
import { eventually } from '../helpers/condition.js';
import { startPanel, type TestUser } from '../helpers/panel.js';
import {
  addKey,
  ask,
  connect,
  type Login,
  openSftp,
  type SftpStage,
  setSftpStage,
  statusOf,
} from './harness.js';

const { OPEN_MODE, STATUS_CODE } = ssh2.utils.sftp;
/** By when who has lost his rights is gone. */
const END_MS = 2000;

let stage: SftpStage;
/** Another panel on the same database: the first one does not hear of what is done there. */
let other: Awaited<ReturnType<typeof startPanel>>;

beforeAll(async () => {
  stage = await setSftpStage();
  other = await startPanel({ database: stage.panel.database });
});

afterAll(async () => {
  await other.close();
  await stage.close();
});

const open = (sftp: SFTPWrapper, name: string, flags: number) =>
  ask<Buffer>((done) => sftp.open(name, flags as never, done as never));
const write = (sftp: SFTPWrapper, handle: Buffer, offset: number, data: string) =>
  ask((done) => sftp.write(handle, Buffer.from(data), 0, data.length, offset, done));

async function setUp(credentials: (user: TestUser) => Promise<Partial<Login>>) {
  const user = await stage.panel.createUser();
  const server = await stage.makeServer(user.id);
  const login = { port: stage.port, username: server.id, ...(await credentials(user)) };
  const client = await connect(login);
  const sftp = await openSftp(client);
  const handle = await open(sftp, '/file', OPEN_MODE.WRITE | OPEN_MODE.CREAT);
  await write(sftp, handle, 0, 'begun');
  return { user, server, client, sftp, handle, login };
}

/** How long after the call the connection was over. */
async function timeToEnd(client: ssh2.Client, call: () => Promise<unknown>): Promise<number> {
  const closed = once(client, 'close');
  await call();
  const startedAtMs = performance.now();
  await closed;
  return performance.now() - startedAtMs;
}

const withToken = async ({ token }: TestUser) => ({ password: token });
const withKey = async (user: TestUser) => ({ privateText: (await addKey(stage, user)).privateText });
const withApiKey = async ({ token }: TestUser) => ({
  password: (await createApiKey(stage.panel, token)).key,
});

const ENDINGS: [
  string,
  typeof withToken | typeof withKey,
  (stand: Awaited<ReturnType<typeof setUp>>) => Promise<unknown>,
][] = [
  ['the session ends', withToken, ({ user }) => stage.panel.post('/api/auth/logout', undefined, user.token)],
  [
    'the session ends on another panel',
    withToken,
    ({ user }) => other.post('/api/auth/logout', undefined, user.token),
  ],
  [
    'the API key is revoked on another panel',
    withApiKey,
    ({ user }) => other.context.database.prisma.apiKey.deleteMany({ where: { userId: user.id } }),
  ],
  [
    'the SSH key is removed',
    withKey,
    ({ user }) => other.context.database.prisma.sshKey.deleteMany({ where: { userId: user.id } }),
  ],
  [
    'the account is disabled',
    withKey,
    ({ user }) =>
      other.context.database.prisma.user.update({ where: { id: user.id }, data: { disabledAt: new Date() } }),
  ],
  [
    'the server is given to somebody else',
    withKey,
    ({ server }) =>
      other.context.database.prisma.server.update({
        where: { id: server.id },
        data: { ownerId: stage.owner.id },
      }),
  ],
  [
    'the server is suspended',
    withKey,
    ({ server }) =>
      other.context.database.prisma.server.update({
        where: { id: server.id },
        data: { suspendedAt: new Date() },
      }),
  ],
  [
    'the server is deleted',
    withKey,
    ({ server }) =>
      other.context.database.prisma.server.update({
        where: { id: server.id },
        data: { deletionRequestedAt: new Date() },
      }),
  ],
  ['a second factor is asked for', withToken, ({ user }) => enableTwoFactor(stage.panel, user)],
  ['a second factor is asked for on another panel', withToken, ({ user }) => enableTwoFactor(other, user)],
  [
    'the API key may no longer read files',
    withApiKey,
    ({ user }) =>
      other.context.database.prisma.apiKey.updateMany({
        where: { userId: user.id },
        data: { permissions: ['server.read'] },
      }),
  ],
];

test.each(ENDINGS)('a connection ends when %s', async (_name, credentials, end) => {
  const stand = await setUp(credentials);
  expect(await timeToEnd(stand.client, () => end(stand))).toBeLessThan(END_MS);
  await expect(connect(stand.login)).rejects.toThrow();
});

test('a member who loses the right to write writes no more, not even into what he has open', async () => {
  const { server } = await setUp(withKey);
  const member = await stage.panel.createUser();
  const { serverAccess } = stage.panel.context.database.prisma;
  const where = { userId_serverId: { userId: member.id, serverId: server.id } };
  const permissions = ['server.read', 'file.read', 'file.write'];
  await serverAccess.create({ data: { userId: member.id, serverId: server.id, permissions } });
  const client = await connect({ port: stage.port, username: server.id, password: member.token });
  const sftp = await openSftp(client);
  const handle = await open(sftp, '/his', OPEN_MODE.WRITE | OPEN_MODE.CREAT);
  await write(sftp, handle, 0, 'yes');
  expect(await statusOf(ask((done) => sftp.unlink('/his', done)))).toBe(STATUS_CODE.PERMISSION_DENIED);
  await serverAccess.update({ where, data: { permissions: ['server.read', 'file.read'] } });
  const refused = await eventually('it is refused', async () => {
    const status = await statusOf(write(sftp, handle, 3, 'no'));
    return status !== 'it was done' && status;
  });
  expect(refused).toBe(STATUS_CODE.PERMISSION_DENIED);
  expect(await statusOf(ask((done) => sftp.mkdir('/hers', done)))).toBe(STATUS_CODE.PERMISSION_DENIED);
  expect(await statusOf(ask((done) => sftp.stat('/his', done)))).toBe('it was done');
  const ended = await timeToEnd(client, () => serverAccess.delete({ where }));
  expect(ended).toBeLessThan(END_MS);
});

test('a right taken away in the middle of a download ends it', async () => {
  const user = await stage.panel.createUser();
  const server = await stage.makeServer(user.id);
  writeFileSync(path.join(server.directory, 'large'), Buffer.alloc(1024 * 1024), { mode: 0o666 });
  const { privateText } = await addKey(stage, user);
  const client = await connect({ port: stage.port, username: server.id, privateText });
  const sftp = await openSftp(client);
  const handle = await open(sftp, '/large', OPEN_MODE.READ);
  let reads = 0;
  const reading = (async () => {
    for (;;) {
      await new Promise<void>((resolve, reject) => {
        sftp.read(handle, Buffer.alloc(32_768), 0, 32_768, 0, (error) => (error ? reject(error) : resolve()));
      });
      reads += 1;
    }
  })().catch(() => 'ended');
  await eventually('it reads', () => reads > 10);
  const { prisma } = other.context.database;
  const take = () => prisma.server.update({ where: { id: server.id }, data: { ownerId: stage.owner.id } });
  expect(await timeToEnd(client, take)).toBeLessThan(END_MS);
  expect(await reading).toBe('ended');
});

test('while a server is installed its files are in other hands', async () => {
  const { server, sftp, handle } = await setUp(withKey);
  const { prisma } = stage.panel.context.database;
  await prisma.server.update({ where: { id: server.id }, data: { status: 'installing' } });
  const refused = await eventually('it is refused', async () => {
    const status = await statusOf(write(sftp, handle, 0, 'no'));
    return status !== 'it was done' && status;
  });
  expect(refused).toBe(STATUS_CODE.FAILURE);
  await prisma.server.update({ where: { id: server.id }, data: { status: 'stopped' } });
  await eventually(
    'it goes on',
    async () => (await statusOf(write(sftp, handle, 0, 'yes'))) === 'it was done',
  );
  expect(readFileSync(path.join(server.directory, 'file'), 'utf8')).toBe('yesun');
  expect(readdirSync(server.directory)).toEqual(['file']);
});
