import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import ssh2, { type ConnectConfig, type SFTPWrapper } from 'ssh2';
import { onTestFinished } from 'vitest';
import { loadHostKeys } from '../../src/sftp/host-keys.js';
import { type SftpServer, startSftp } from '../../src/sftp/server.js';
import type { SftpTimings } from '../../src/sftp/timings.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import type { PanelOptions, TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';
import { makeKeyPair } from '../helpers/ssh-keygen.js';

export type SftpStage = Awaited<ReturnType<typeof setSftpStage>>;

/** A panel with its SFTP door, a node with a real agent, and somebody who owns servers there. */
export async function setSftpStage(options: PanelOptions = {}) {
  const panel = await startPanelWithDoors(options);
  const node = await startFileNode(panel);
  const hostKeys = loadHostKeys(panel.config.DATA_DIR);
  const doors: SftpServer[] = [];
  const openDoor = async (timings: Partial<SftpTimings> = {}) => {
    const door = await startSftp({ context: panel.context, hostKeys, host: '127.0.0.1', port: 0, timings });
    doors.push(door);
    return door;
  };
  const { port } = await openDoor();
  const owner = await panel.createUser();
  return {
    panel,
    node,
    owner,
    hostKeys,
    port,
    /** Another port for SFTP, where things take less time. */
    openDoor,
    makeServer: (ownerId = owner.id) => makeServer(panel, node, ownerId),
    async close() {
      for (const door of doors) await door.close();
      await node.close();
      await panel.close();
    },
  };
}

async function makeServer(panel: PanelWithDoors, node: FileNode, ownerId: string) {
  const server = await insertServer(panel, { nodeId: node.id, ownerId });
  return { ...server, directory: await node.install(server) };
}

/** Gives the account a key made by OpenSSH. */
export async function addKey(
  { panel }: Pick<SftpStage, 'panel'>,
  user: TestUser,
  ...kind: string[]
): Promise<{ id: string; privateText: string }> {
  const { publicLine, privateText } = makeKeyPair(...(kind.length > 0 ? kind : ['-t', 'ed25519']));
  const answer = await panel.post('/api/auth/ssh-keys', { name: 'a key', publicKey: publicLine }, user.token);
  if (answer.status !== 201) throw new Error(`the key was not added: ${answer.text}`);
  return { id: String(answer.body.data.id), privateText };
}

/** A directory that is gone after the test. */
export function scratch(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'catalyst-sftp-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface OpenSsh {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Login {
  port: number;
  username: string;
  privateText?: string;
  password?: string;
}

/** OpenSSH's own client, with a file of commands. */
export async function runSftp(login: Login, commands: string[], options: string[] = []): Promise<OpenSsh> {
  const child = spawnSsh('sftp', login, ['-b', '-', ...options], `${login.username}@127.0.0.1`);
  child.stdin?.end(`${commands.join('\n')}\n`);
  return finished(child);
}

/** OpenSSH's own client, which is told one thing after the other. */
export function startSftpClient(login: Login, options: string[] = []) {
  const child = spawnSsh('sftp', login, ['-b', '-', ...options], `${login.username}@127.0.0.1`);
  const shown = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (piece: string) => {
      shown[stream] += piece;
    });
  }
  return {
    type: (line: string | Buffer) =>
      void child.stdin?.write(Buffer.concat([Buffer.from(line), Buffer.from('\n')])),
    end: () => void child.stdin?.end(),
    stdout: () => shown.stdout,
    stderr: () => shown.stderr,
    exitCode: once(child, 'close').then(([code]) => code as number | null),
  };
}

/** OpenSSH's `ssh`, for what is not SFTP. */
export async function runSsh(login: Login, options: string[], command: string[] = []): Promise<OpenSsh> {
  const child = spawnSsh('ssh', login, options, `${login.username}@127.0.0.1`, command);
  child.stdin?.end();
  return finished(child);
}

async function finished(child: ChildProcess): Promise<OpenSsh> {
  const { stdout, stderr } = child;
  if (!stdout || !stderr) throw new Error('The client has no output.');
  const [out, err, [code]] = await Promise.all([text(stdout), text(stderr), once(child, 'exit')]);
  return { code: code as number | null, stdout: out, stderr: err };
}

function spawnSsh(
  program: 'sftp' | 'ssh',
  { port, privateText, password }: Login,
  options: string[],
  target: string,
  command: string[] = [],
): ChildProcess {
  const directory = scratch();
  const keyFile = path.join(directory, 'key');
  writeFileSync(keyFile, privateText ?? '', { mode: 0o600 });
  const askpass = path.join(directory, 'askpass');
  writeFileSync(askpass, '#!/bin/sh\nprintf "%s\\n" "$SFTP_PASSWORD"\n', { mode: 0o700 });
  const settings = {
    StrictHostKeyChecking: 'no',
    UserKnownHostsFile: path.join(directory, 'known-hosts'),
    BatchMode: password === undefined ? 'yes' : 'no',
    PreferredAuthentications: password === undefined ? 'publickey' : 'password',
    NumberOfPasswordPrompts: '1',
    IdentitiesOnly: 'yes',
    IdentityFile: privateText === undefined ? 'none' : keyFile,
    LogLevel: 'ERROR',
  };
  const given = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const portOption = program === 'sftp' ? '-P' : '-p';
  // The first value counts: `-b` would forbid passwords.
  const args = ['-F', 'none', ...given, portOption, String(port), ...options, target, ...command];
  const child = spawn(program, args, {
    env: {
      PATH: process.env.PATH,
      SSH_ASKPASS: askpass,
      SSH_ASKPASS_REQUIRE: 'force',
      SFTP_PASSWORD: password ?? '',
    },
    stdio: 'pipe',
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  // It may have gone before it was told everything.
  child.stdin?.on('error', () => {});
  return child;
}

/** The client of ssh2, signed in: for what OpenSSH's does not do. */
export async function connect(login: Login, more: ConnectConfig = {}): Promise<ssh2.Client> {
  const client = new ssh2.Client();
  onTestFinished(() => void client.destroy());
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve);
    client.once('error', reject);
    client.once('close', () => reject(new Error('The connection was closed.')));
    client.connect({
      host: '127.0.0.1',
      port: login.port,
      username: login.username,
      ...(login.password !== undefined && { password: login.password }),
      ...(login.privateText !== undefined && { privateKey: login.privateText }),
      ...more,
    });
  });
  client.on('error', () => {});
  // ssh2 writes each packet in pieces; without this a request takes 40 ms.
  client.setNoDelay(true);
  return client;
}

export async function openSftp(client: ssh2.Client): Promise<SFTPWrapper> {
  return new Promise((resolve, reject) => {
    client.sftp((error, sftp) => (error ? reject(error) : resolve(sftp)));
  });
}

/** Calls one of the client's functions: `ask((done) => sftp.mkdir('/x', done))`. */
export function ask<Answer = void>(
  call: (done: (error?: Error | null, answer?: Answer) => void) => void,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    call((error, answer) => (error ? reject(error) : resolve(answer as Answer)));
  });
}

/** Numbers instead of what OpenSSH's client sends, for odd cases. */
export const openFile = (sftp: SFTPWrapper, name: string, flags: number) =>
  ask<Buffer>((done) => sftp.open(name, flags as never, done as never));
export const writeAt = (sftp: SFTPWrapper, handle: Buffer, offset: number, data: string) =>
  ask((done) => sftp.write(handle, Buffer.from(data), 0, data.length, offset, done));
export const closeHandle = (sftp: SFTPWrapper, handle: Buffer) => ask((done) => sftp.close(handle, done));
export const readAt = (sftp: SFTPWrapper, handle: Buffer, offset: number, length: number) =>
  new Promise<Buffer>((resolve, reject) => {
    const buffer = Buffer.alloc(length);
    sftp.read(handle, buffer, 0, length, offset, (error, count) =>
      error ? reject(error) : resolve(buffer.subarray(0, count)),
    );
  });

/** The status a request is refused with. */
export async function statusOf(request: Promise<unknown>): Promise<number | string> {
  try {
    await request;
    return 'it was done';
  } catch (error) {
    return (error as { code?: number }).code ?? String(error);
  }
}
