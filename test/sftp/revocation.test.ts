import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ssh2, { type SFTPWrapper } from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiKey } from '../helpers/accounts.js';
import { eventually } from '../helpers/condition.js';
import { startPanel } from '../helpers/panel.js';
import {
  addKey,
  closeHandle,
  connect,
  openFile,
  openSftp,
  readAt,
  runSftp,
  type SftpStage,
  setSftpStage,
  statusOf,
  writeAt,
} from './harness.js';

const { OPEN_MODE, STATUS_CODE } = ssh2.utils.sftp;
const WRITE_ANEW = OPEN_MODE.WRITE | OPEN_MODE.CREAT | OPEN_MODE.TRUNC;
const MADE_NEW = OPEN_MODE.WRITE | OPEN_MODE.CREAT | OPEN_MODE.EXCL;
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

/** Somebody in the middle of replacing one file, making another, and reading a third. */
async function setUp() {
  const user = await stage.panel.createUser();
  const server = await stage.makeServer();
  const { prisma } = stage.panel.context.database;
  const permissions = ['server.read', 'file.read', 'file.write'];
  await prisma.serverAccess.create({ data: { userId: user.id, serverId: server.id, permissions } });
  writeFileSync(path.join(server.directory, 'old'), 'as before', { mode: 0o666 });
  writeFileSync(path.join(server.directory, 'large'), Buffer.alloc(1024 * 1024), { mode: 0o666 });
  return { user, server };
}

async function work(login: { username: string; password?: string; privateText?: string }) {
  const client = await connect({ port: stage.port, ...login });
  const sftp = await openSftp(client);
  const replacing = await openFile(sftp, '/old', WRITE_ANEW);
  await writeAt(sftp, replacing, 0, 'half');
  await writeAt(sftp, await openFile(sftp, '/new', MADE_NEW), 0, 'half');
  return { client, sftp, replacing, reading: readOn(sftp) };
}

/** One after the other until it is refused. */
async function readOn(sftp: SFTPWrapper): Promise<string> {
  try {
    const handle = await openFile(sftp, '/large', OPEN_MODE.READ);
    for (;;) await readAt(sftp, handle, 0, 32_768);
  } catch {
    return 'ended';
  }
}

type Stand = Awaited<ReturnType<typeof setUp>>;
type Credentials = (stand: Stand) => Promise<{ password?: string; privateText?: string }>;

const withKey: Credentials = async ({ user }) => ({ privateText: (await addKey(stage, user)).privateText });
const withToken: Credentials = async ({ user }) => ({ password: user.token });
const withApiKey: Credentials = async ({ user }) => ({
  password: (await createApiKey(stage.panel, user.token)).key,
});
const rows = () => other.context.database.prisma;
const changeServer = ({ server }: Stand, data: object) =>
  rows().server.update({ where: { id: server.id }, data });

const REVOCATIONS: [string, Credentials, (stand: Stand) => Promise<unknown>][] = [
  ['he signs out', withToken, ({ user }) => other.post('/api/auth/logout', undefined, user.token)],
  [
    'the API key is deleted',
    withApiKey,
    ({ user }) => rows().apiKey.deleteMany({ where: { userId: user.id } }),
  ],
  ['the SSH key is removed', withKey, ({ user }) => rows().sshKey.deleteMany({ where: { userId: user.id } })],
  [
    'the account is disabled',
    withKey,
    ({ user }) => rows().user.update({ where: { id: user.id }, data: { disabledAt: new Date() } }),
  ],
  [
    'he is a member no more',
    withKey,
    ({ user }) => rows().serverAccess.deleteMany({ where: { userId: user.id } }),
  ],
  ['the server is suspended', withKey, (stand) => changeServer(stand, { suspendedAt: new Date() })],
  ['the server is deleted', withKey, (stand) => changeServer(stand, { deletionRequestedAt: new Date() })],
];

test.each(REVOCATIONS)(
  'in the middle of everything, when %s, all ends and nothing of it stays',
  async (_, credentials, revoke) => {
    const stand = await setUp();
    const { server } = stand;
    const { client, reading } = await work({ username: server.id, ...(await credentials(stand)) });
    const closed = once(client, 'close');
    await revoke(stand);
    const revokedAtMs = performance.now();
    await closed;
    expect(performance.now() - revokedAtMs).toBeLessThan(END_MS);
    expect(await reading).toBe('ended');
    await eventually('nothing is left of it', () => {
      // What is left of a server that is deleted is its node's to remove.
      return !existsSync(server.directory) || readdirSync(server.directory).length === 2;
    });
    const old = path.join(server.directory, 'old');
    if (existsSync(old)) expect(readFileSync(old, 'utf8')).toBe('as before');
    expect(existsSync(path.join(server.directory, 'new'))).toBe(false);
  },
);

test.each([
  [
    'loses the right to write',
    ({ user }: Stand) =>
      rows().serverAccess.updateMany({
        where: { userId: user.id },
        data: { permissions: ['server.read', 'file.read'] },
      }),
    STATUS_CODE.PERMISSION_DENIED,
  ],
  [
    'waits while the server is installed',
    (stand: Stand) => changeServer(stand, { status: 'installing' }),
    STATUS_CODE.FAILURE,
  ],
] as const)('what he closes who %s does not come to its name', async (_, lose, status) => {
  const stand = await setUp();
  const { server } = stand;
  const { sftp, replacing } = await work({ username: server.id, ...(await withKey(stand)) });
  await lose(stand);
  await eventually(
    'he may not write',
    async () => (await statusOf(writeAt(sftp, replacing, 4, '!'))) === status,
  );
  expect(await statusOf(closeHandle(sftp, replacing))).toBe(status);
  expect(readFileSync(path.join(server.directory, 'old'), 'utf8')).toBe('as before');
});

test('what came of an upload whose client has gone stays, and can be resumed', async () => {
  const stand = await setUp();
  const { server } = stand;
  const login = { username: server.id, ...(await withKey(stand)) };
  const { client } = await work(login);
  client.destroy();
  const text = (name: string) => readFileSync(path.join(server.directory, name), 'utf8');
  await eventually(
    'both have come',
    () => existsSync(path.join(server.directory, 'new')) && text('old') === 'half',
  );
  expect(text('new')).toBe('half');
  const whole = path.join(server.directory, '..', `${server.id}-whole`);
  writeFileSync(whole, 'half and half');
  expect((await runSftp({ port: stage.port, ...login }, [`reput ${whole} new`])).code).toBe(0);
  expect(text('new')).toBe('half and half');
});
