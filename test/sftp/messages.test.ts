import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiKey, enableTwoFactor } from '../helpers/accounts.js';
import { eventually } from '../helpers/condition.js';
import {
  addKey,
  connect,
  openSftp,
  runSftp,
  type SftpStage,
  setSftpStage,
  startSftpClient,
} from './harness.js';

let stage: SftpStage;
let privateText: string;
const logged: string[] = [];

beforeAll(async () => {
  stage = await setSftpStage({ log: { level: 'trace', write: (line) => logged.push(line) } });
  privateText = (await addKey(stage, stage.owner)).privateText;
});

afterAll(() => stage.close());

const change = (id: string, data: object) =>
  stage.panel.context.database.prisma.server.update({ where: { id }, data });

test('OpenSSH’s client shows why it was sent away', async () => {
  const { id } = await stage.makeServer();
  const client = startSftpClient({ port: stage.port, username: id, privateText });
  client.type('pwd');
  await eventually('it is there', () => client.stdout().includes('Remote working directory'));
  await change(id, { suspendedAt: new Date() });
  await eventually('it says something', () => client.stderr().includes('disconnect'));
  expect(client.stderr()).toMatch(/Received disconnect from .*You may not be here any more: .*suspended/);
});

test('who shows who he is and is refused nevertheless is told why; strangers are told nothing', async () => {
  const user = await stage.panel.createUser();
  const { id } = await stage.makeServer(user.id);
  await enableTwoFactor(stage.panel, user);
  const withToken = await runSftp({ port: stage.port, username: id, password: user.token }, ['pwd'], ['-v']);
  expect(withToken.stderr).toContain('two-factor authentication: sign in with an SSH key or an API key');
  await change(id, { suspendedAt: new Date() });
  const { key } = await createApiKey(stage.panel, user.token);
  const owner = await runSftp({ port: stage.port, username: id, password: key }, ['pwd'], ['-v']);
  expect(owner.stderr).toMatch(/suspended/);
  const stranger = await stage.panel.createUser();
  const { stderr } = await runSftp(
    { port: stage.port, username: id, password: stranger.token },
    ['pwd'],
    ['-v'],
  );
  expect(stderr).not.toMatch(/suspended/);
});

test('OpenSSH’s client shows what "Failure" does not say', async () => {
  const server = await stage.makeServer();
  writeFileSync(path.join(server.directory, 'file'), 'text');
  const client = startSftpClient({ port: stage.port, username: server.id, privateText });
  client.type('pwd');
  client.type(Buffer.concat([Buffer.from('-mkdir caf'), Buffer.from([0xe9])]));
  await eventually('it says something', () => client.stderr().includes('Names have to be UTF-8'));
  await change(server.id, { status: 'installing' });
  await eventually('it says something else', () => {
    client.type('-ls /');
    return client.stderr().includes('The server is installing at the moment');
  });
  await change(server.id, { status: 'stopped' });
  client.type('-rm nothing');
  client.end();
  expect(await client.exitCode).toBe(0);
  expect(readdirSync(server.directory)).toEqual(['file']);
});

test('operators see who came and why he went, and no secret', async () => {
  const user = await stage.panel.createUser();
  const { id } = await stage.makeServer(user.id);
  const { key } = await createApiKey(stage.panel, user.token);
  const before = logged.length;
  const client = await connect({ port: stage.port, username: id, password: key });
  await openSftp(client);
  client.end();
  const lines = await eventually('his going is logged', () => {
    const since = logged.slice(before).filter((line) => line.includes(id));
    return since.some((line) => line.includes('has ended')) && since;
  });
  expect(lines.map((line) => JSON.parse(line))).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        msg: 'signed in by SFTP',
        userId: user.id,
        serverId: id,
        with: 'api-key',
        address: '127.0.0.1',
      }),
      expect.objectContaining({
        msg: 'a session by SFTP has ended',
        userId: user.id,
        reason: 'The client has gone.',
      }),
    ]),
  );
  const all = logged.join('\n');
  for (const secret of [key, user.token, stage.owner.token]) expect(all).not.toContain(secret);
});
