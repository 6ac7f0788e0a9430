import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { userInfo } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { freePort } from './panel.js';
import { startProcess, waitUntil } from './process.js';

const LISTEN_TIMEOUT_MS = 10_000;
const PLACES = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
/** sshd wants it to be there when it is started by root. */
const EMPTY_DIRECTORY = '/run/sshd';
/** Both sides encrypt with the same. */
export const CIPHER = 'aes128-gcm@openssh.com';

/** Where to sign in with SFTP, and as whom. */
export interface SftpLogin {
  port: number;
  username: string;
  keyFile: string;
  /** Where the files of the bench go. */
  directory: string;
}

/** Null where the system does not have it. */
export function findProgram(name: string): string | null {
  return PLACES.map((place) => path.join(place, name)).find((file) => existsSync(file)) ?? null;
}

export function makeKey(directory: string, name: string): { keyFile: string; publicLine: string } {
  const keyFile = path.join(directory, name);
  execFileSync('ssh-keygen', ['-q', '-N', '', '-C', 'bench', '-t', 'ed25519', '-f', keyFile]);
  return { keyFile, publicLine: readFileSync(`${keyFile}.pub`, 'utf8') };
}

export interface Sshd {
  pid: number;
  login: SftpLogin;
  stop(): Promise<void>;
}

/** OpenSSH's own server, with its own files, for whoever has the key. */
export async function startSshd(program: string, directory: string): Promise<Sshd> {
  const own = path.join(directory, 'sshd');
  const files = path.join(own, 'files');
  mkdirSync(files, { recursive: true, mode: 0o700 });
  if (userInfo().uid === 0) mkdirSync(EMPTY_DIRECTORY, { recursive: true, mode: 0o755 });
  const host = makeKey(own, 'host');
  const { keyFile, publicLine } = makeKey(own, 'key');
  writeFileSync(path.join(own, 'authorized'), publicLine, { mode: 0o600 });
  const port = await freePort();
  const settings = {
    ListenAddress: `127.0.0.1:${port}`,
    HostKey: host.keyFile,
    AuthorizedKeysFile: path.join(own, 'authorized'),
    Ciphers: CIPHER,
    Subsystem: 'sftp internal-sftp',
    ForceCommand: 'internal-sftp',
    PermitRootLogin: 'yes',
    PasswordAuthentication: 'no',
    KbdInteractiveAuthentication: 'no',
    UsePAM: 'no',
    StrictModes: 'no',
    UseDNS: 'no',
    PidFile: 'none',
  };
  const configuration = path.join(own, 'configuration');
  writeFileSync(
    configuration,
    Object.entries(settings)
      .map(([name, value]) => `${name} ${value}\n`)
      .join(''),
  );
  const started = startProcess({
    words: [program, '-D', '-e', '-f', configuration],
    directory: own,
    environment: {},
    logFile: path.join(own, 'log'),
  });
  await waitUntil('sshd listens', LISTEN_TIMEOUT_MS, async () => {
    if (started.hasEnded()) throw new Error(`sshd has ended:\n${started.outputTail()}`);
    return await isListening(port);
  });
  const login = { port, username: userInfo().username, keyFile, directory: files };
  return { pid: started.pid, login, stop: started.stop };
}

async function isListening(port: number): Promise<boolean> {
  const socket = createConnection(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** OpenSSH's client with a list of commands; rejects with what it said when one of them fails. */
export async function runSftp(login: SftpLogin, commands: string[]): Promise<void> {
  const settings = {
    Port: `${login.port}`,
    IdentityFile: login.keyFile,
    IdentitiesOnly: 'yes',
    Ciphers: CIPHER,
    BatchMode: 'yes',
    StrictHostKeyChecking: 'no',
    UserKnownHostsFile: '/dev/null',
    LogLevel: 'ERROR',
  };
  const options = Object.entries(settings).map(([name, value]) => `-o${name}=${value}`);
  await runProgram('sftp', ['-q', '-b', '-', ...options, `${login.username}@127.0.0.1`], commands);
}

/** Copies directories with rclone; each side is a local path or a place of an SFTP server. */
export async function runRclone(from: string, to: string): Promise<void> {
  await runProgram('rclone', ['--config', '', 'copy', from, to]);
}

/** @param directory Below the login's own. */
export function rclonePlace(login: SftpLogin, directory: string): string {
  const { port, username, keyFile } = login;
  // Without a shell on either side: ours has none.
  const options = `host=127.0.0.1,port=${port},user=${username},key_file=${keyFile},shell_type=none`;
  return `:sftp,${options},disable_hashcheck=true:${path.posix.join(login.directory, directory)}`;
}

async function runProgram(name: string, words: string[], input: string[] = []): Promise<void> {
  const child = spawn(name, words, { stdio: ['pipe', 'ignore', 'pipe'] });
  child.stdin.end(`${input.join('\n')}\n`);
  const [complaint, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${complaint}`);
}
