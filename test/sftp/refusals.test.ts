import { once } from 'node:events';
import type ssh2 from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { addKey, ask, connect, openSftp, runSsh, type SftpStage, setSftpStage } from './harness.js';

let stage: SftpStage;
let login: { port: number; username: string; privateText: string };

beforeAll(async () => {
  stage = await setSftpStage();
  const { privateText } = await addKey(stage, stage.owner);
  login = { port: stage.port, username: (await stage.makeServer()).id, privateText };
});

afterAll(() => stage.close());

type Done = (error?: Error | null, answer?: unknown) => void;
const X11 = { protocol: 'MIT-MAGIC-COOKIE-1', cookie: '00' };

const REQUESTS: [string, (client: ssh2.Client, done: Done) => void][] = [
  ['a program', (client, done) => client.exec('id', done)],
  ['a program on a terminal', (client, done) => client.exec('id', { pty: true }, done)],
  ['a program with variables', (client, done) => client.exec('id', { env: { A: 'b' } }, done)],
  ['a program with windows', (client, done) => client.exec('id', { x11: X11 }, done)],
  ['a shell', (client, done) => client.shell(done)],
  ['a shell without a terminal', (client, done) => client.shell(false, done)],
  ['another subsystem', (client, done) => client.subsys('netconf', done)],
  ['a subsystem without a name', (client, done) => client.subsys('', done)],
  [
    'a way to an address',
    (client, done) => client.forwardOut('127.0.0.1', 1, '127.0.0.1', stage.panel.port, done),
  ],
  ['a way to a socket', (client, done) => client.openssh_forwardOutStreamLocal('/var/run/docker.sock', done)],
  ['a way from an address', (client, done) => client.forwardIn('127.0.0.1', 0, done)],
  ['a way from a socket', (client, done) => client.openssh_forwardInStreamLocal('/tmp/catalyst.sock', done)],
];

test.each(REQUESTS)('%s is refused, and the connection goes on', async (_, request) => {
  const client = await connect(login);
  await expect(ask((done) => request(client, done as Done))).rejects.toThrow();
  await ask<ssh2.Stats>(async (done) => (await openSftp(client)).stat('/', done as never));
});

test('OpenSSH’s client is refused everything but files', async () => {
  expect((await runSsh(login, [], ['id'])).stderr).toMatch(/exec request failed/);
  expect((await runSsh(login, ['-T'])).stderr).toMatch(/shell request failed/);
  expect((await runSsh(login, ['-tt'])).stderr).toMatch(/PTY allocation request failed/);
  expect((await runSsh(login, ['-s'], ['netconf'])).stderr).toMatch(/subsystem request failed/);
  expect((await runSsh(login, ['-A', '-T', '-v'])).stderr).toMatch(/shell request failed/);
  const target = `127.0.0.1:${stage.panel.port}`;
  expect((await runSsh(login, ['-W', target])).stderr).toMatch(
    /administratively prohibited|stdio forwarding failed/,
  );
  const back = ['-N', '-o', 'ExitOnForwardFailure=yes', '-R', `0:${target}`];
  expect((await runSsh(login, back)).stderr).toMatch(/remote port forwarding failed/);
});

test('one connection has so many sessions at once', async () => {
  const client = await connect(login);
  const sessions = [];
  for (let count = 0; count < 8; count += 1) sessions.push(await openSftp(client));
  await expect(openSftp(client)).rejects.toThrow(/Channel open failure/);
  const [first] = sessions;
  if (!first) throw new Error('no session');
  const closed = once(first, 'close');
  first.end();
  await closed;
  await eventually('there is place again', () => openSftp(client).catch(() => null));
});

const run = (client: ssh2.Client) => ask<ssh2.Channel>((done) => client.exec('id', done as never));

/** Of ssh2's client, what it does not show. */
interface Wire {
  _protocol: {
    subsystem(channel: number, name: string, wantReply: boolean): void;
    channelClose(channel: number): void;
  };
}
const wireOf = (client: ssh2.Client) => (client as unknown as Wire)._protocol;

test('a session is one conversation by SFTP, whatever is asked for in it', async () => {
  const client = await connect(login);
  const sftp = await openSftp(client);
  const channel = (sftp as unknown as { outgoing: { id: number } }).outgoing.id;
  wireOf(client).subsystem(channel, 'sftp', true);
  wireOf(client).subsystem(channel, 'sftp', false);
  await ask<ssh2.Stats>((done) => sftp.stat('/', done as never));
});

test('who opens sessions for nothing without end is sent away', async () => {
  const client = await connect(login);
  const closed = once(client, 'close');
  let opened = 0;
  const opening = (async () => {
    for (;;) {
      await run(client).catch((error: Error) => {
        if (!/Unable to exec/.test(error.message)) throw error;
      });
      // Sessions are counted on, and none has a number of one before it.
      wireOf(client).channelClose(opened);
      opened += 1;
    }
  })().catch(() => 'ended');
  await closed;
  expect(await opening).toBe('ended');
  expect(opened).toBeGreaterThan(50);
  expect(opened).toBeLessThan(150);
});

test('to close a session again and again makes no place for more', async () => {
  const client = await connect(login);
  const sessions = [];
  for (let count = 0; count < 7; count += 1) sessions.push(await openSftp(client));
  await expect(run(client)).rejects.toThrow();
  for (let count = 0; count < 20; count += 1) wireOf(client).channelClose(7);
  sessions.push(await openSftp(client));
  await expect(openSftp(client)).rejects.toThrow(/Channel open failure/);
});

test('nobody signs in by other means than keys and passwords', async () => {
  const { username, port } = login;
  for (const method of ['keyboard-interactive', 'none'] as const) {
    const methods = [
      method === 'none' ? { type: method, username } : { type: method, username, prompt: () => undefined },
    ];
    await expect(connect({ port, username }, { authHandler: methods })).rejects.toThrow(
      /authentication methods failed/,
    );
  }
});

test('who asks again and again how he may sign in is sent away', async () => {
  let asked = 0;
  const attempt = connect(login, {
    authHandler: (_left, _partial, next) => {
      asked += 1;
      return next({ type: 'none', username: login.username });
    },
  });
  await expect(attempt).rejects.toThrow();
  expect(asked).toBeLessThanOrEqual(21);
});
