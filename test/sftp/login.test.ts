import { statSync } from 'node:fs';
import path from 'node:path';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadHostKeys } from '../../src/sftp/host-keys.js';
import { createApiKey, enableTwoFactor } from '../helpers/accounts.js';
import { eventually } from '../helpers/condition.js';
import { makeKeyPair } from '../helpers/ssh-keygen.js';
import { addKey, connect, runSftp, type SftpStage, setSftpStage } from './harness.js';

let stage: SftpStage;
let server: Awaited<ReturnType<SftpStage['makeServer']>>;

beforeAll(async () => {
  stage = await setSftpStage();
  server = await stage.makeServer();
});

afterAll(() => stage.close());

const login = (credentials: { password?: string; privateText?: string }, username = server.id) => ({
  port: stage.port,
  username,
  ...credentials,
});

const audited = (action: string) =>
  stage.panel.context.database.prisma.auditLog.findMany({ where: { action }, orderBy: { id: 'asc' } });

test('a token, an API key, and keys of every kind let their owner in', async () => {
  const { key } = await createApiKey(stage.panel, stage.owner.token);
  for (const password of [stage.owner.token, key]) {
    const result = await runSftp(login({ password }), ['pwd']);
    expect(result.stderr).toBe('');
    expect(result.stdout).toContain('Remote working directory: /');
    expect(result.code).toBe(0);
  }
  const kinds = [
    ['-t', 'ed25519'],
    ['-t', 'rsa', '-b', '2048'],
    ['-t', 'ecdsa', '-b', '256'],
    ['-t', 'ecdsa', '-b', '521'],
  ];
  for (const kind of kinds) {
    const { id, privateText } = await addKey(stage, stage.owner, ...kind);
    const result = await runSftp(login({ privateText }), ['pwd']);
    expect(result, kind.join(' ')).toMatchObject({ code: 0, stderr: '' });
    const row = await stage.panel.context.database.prisma.sshKey.findUnique({ where: { id } });
    expect(row?.lastUsedAt).not.toBeNull();
  }
  const [entry] = await audited('sftp.login');
  expect(entry).toMatchObject({
    userId: stage.owner.id,
    resourceType: 'server',
    resourceId: server.id,
    serverId: server.id,
    ipAddress: '127.0.0.1',
    metadata: { with: 'session' },
  });
});

test('a stranger, a wrong password, an unknown key and an unknown server are refused alike, and recorded', async () => {
  const stranger = await stage.panel.createUser();
  const { privateText } = await addKey(stage, stranger);
  const { key: narrow } = await createApiKey(stage.panel, stage.owner.token, {
    permissions: ['server.read'],
  });
  for (const [credentials, username] of [
    [{ password: stranger.token }, server.id],
    [{ privateText }, server.id],
    [{ password: narrow }, server.id],
    [{ password: 'wrong' }, server.id],
    [{ password: stage.owner.token }, 'nosuchserver'],
    [{ password: stage.owner.token }, '../etc'],
    [{ password: '' }, server.id],
  ] as const) {
    const result = await runSftp(login(credentials, username), ['pwd']);
    expect(result.code).toBe(255);
    expect(result.stderr).toMatch(/Permission denied \(publickey,password\)|Connection closed/);
  }
  const [entry] = await eventually('it is recorded', async () => {
    const entries = await audited('sftp.login_failed');
    return entries.length > 0 && entries;
  });
  expect(entry).toMatchObject({ userId: null, ipAddress: '127.0.0.1' });
  expect(JSON.stringify(entry?.metadata)).not.toContain(stranger.token);
});

test('a member who may read files is let in, one who may not is not', async () => {
  const member = await stage.panel.createUser();
  const { serverAccess } = stage.panel.context.database.prisma;
  const where = { userId_serverId: { userId: member.id, serverId: server.id } };
  await serverAccess.create({
    data: { userId: member.id, serverId: server.id, permissions: ['server.read', 'server.console'] },
  });
  expect((await runSftp(login({ password: member.token }), ['pwd'])).code).toBe(255);
  await serverAccess.update({ where, data: { permissions: ['server.read', 'file.read'] } });
  expect((await runSftp(login({ password: member.token }), ['pwd'])).code).toBe(0);
});

test('with two-factor authentication on, keys and API keys let in, tokens do not', async () => {
  const user = await stage.panel.createUser();
  const own = await stage.makeServer(user.id);
  const { key } = await createApiKey(stage.panel, user.token);
  const { privateText } = await addKey(stage, user);
  expect((await runSftp(login({ password: user.token }, own.id), ['pwd'])).code).toBe(0);
  await enableTwoFactor(stage.panel, user);
  expect((await runSftp(login({ password: user.token }, own.id), ['pwd'])).code).toBe(255);
  expect((await runSftp(login({ password: key }, own.id), ['pwd'])).code).toBe(0);
  expect((await runSftp(login({ privateText }, own.id), ['pwd'])).code).toBe(0);
});

test('a key with a signature by another key is refused', async () => {
  const { privateText } = await addKey(stage, stage.owner);
  const right = ssh2.utils.parseKey(privateText);
  const wrong = ssh2.utils.parseKey((await addKey(stage, await stage.panel.createUser())).privateText);
  if (right instanceof Error || wrong instanceof Error) throw new Error('not a key');
  const key = Object.assign(right, { sign: (data: Buffer) => wrong.sign(data) });
  const methods = [{ type: 'publickey', username: server.id, key } as const];
  await expect(connect(login({}), { authHandler: methods })).rejects.toThrow(/authentication methods failed/);
});

test('a suspended server and one that is being deleted let nobody in', async () => {
  const { prisma } = stage.panel.context.database;
  const own = await stage.makeServer();
  const set = (data: object) => prisma.server.update({ where: { id: own.id }, data });
  const enter = async () => (await runSftp(login({ password: stage.owner.token }, own.id), ['pwd'])).code;
  expect(await enter()).toBe(0);
  await set({ suspendedAt: new Date() });
  expect(await enter()).toBe(255);
  await set({ suspendedAt: null, deletionRequestedAt: new Date() });
  expect(await enter()).toBe(255);
});

test('whether a key would do says nothing about a server', async () => {
  const { privateText: known } = await addKey(stage, await stage.panel.createUser());
  const { privateText: unknown } = makeKeyPair('-t', 'ed25519');
  for (const username of [server.id, 'nosuchserver', '../etc']) {
    const answer = (privateText: string) => runSftp(login({ privateText }, username), ['pwd'], ['-v']);
    expect((await answer(known)).stderr, username).toContain('Server accepts key');
    expect((await answer(unknown)).stderr, username).not.toContain('Server accepts key');
  }
});

test('six tries are all there are', async () => {
  let offered = 0;
  const attempt = connect(login({}), {
    authHandler: (_left, _partial, next) => {
      offered += 1;
      if (offered > 20) return;
      return next({ type: 'password', username: server.id, password: 'wrong' });
    },
  });
  await expect(attempt).rejects.toThrow();
  expect(offered).toBeGreaterThanOrEqual(6);
  expect(offered).toBeLessThanOrEqual(7);
}, 60_000);

test('host keys are made once, for nobody else to read', () => {
  const again = loadHostKeys(stage.panel.config.DATA_DIR);
  const shown = (keys: ssh2.ParsedKey[]) => keys.map((key) => key.getPublicSSH().toString('base64'));
  expect(shown(again)).toEqual(shown(stage.hostKeys));
  for (const name of ['sftp-host-key-rsa', 'sftp-host-key-ed25519']) {
    expect(statSync(path.join(stage.panel.config.DATA_DIR, name)).mode & 0o777).toBe(0o600);
  }
});
