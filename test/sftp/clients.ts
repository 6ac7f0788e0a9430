import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, onTestFinished } from 'vitest';
import { type Login, scratch } from './harness.js';

const isCi = process.env.CI === 'true';

/** Python of the system: others do not see what the system's packages brought. */
export const PYTHON = '/usr/bin/python3';

/** How each client says that it is there. */
const PROBES = {
  rclone: ['rclone', 'version'],
  lftp: ['lftp', '--version'],
  paramiko: [PYTHON, '-c', 'import paramiko'],
  sshfs: ['sshfs', '--version'],
  rsync: ['rsync', '--version'],
  fuse: ['test', '-c', '/dev/fuse'],
} as const;

/** Tests of clients run where these are. In CI they always run, so that there their absence is a failure. */
export function describeClients(clients: (keyof typeof PROBES)[], cases: () => void): void {
  const missing = clients.filter((client) => !answers(PROBES[client]));
  const isLeftOut = missing.length > 0 && !isCi;
  if (isLeftOut)
    console.warn(`not installed: ${missing.join(', ')}; tests of ${clients.join(', ')} are skipped`);
  describe.skipIf(isLeftOut)(clients.join(' and '), cases);
}

function answers([program, ...args]: (typeof PROBES)[keyof typeof PROBES]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A program to its end. What it works on is served by this process, which must not stand still meanwhile. */
export async function run(
  program: string,
  args: string[],
  {
    directory,
    input,
    environment,
  }: { directory?: string; input?: string; environment?: Record<string, string> } = {},
): Promise<Finished> {
  const home = scratch();
  const child = spawn(program, args, {
    cwd: directory ?? home,
    env: { PATH: process.env.PATH, HOME: home, LANG: 'C.UTF-8', ...environment },
    stdio: 'pipe',
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  return { code: code as number | null, stdout, stderr };
}

/** The file of the private key, and how OpenSSH is told to use it and nothing else: for what runs `ssh` itself. */
export function sshSettings({ privateText = '' }: Login): { keyFile: string; options: string[] } {
  const directory = scratch();
  const keyFile = path.join(directory, 'key');
  writeFileSync(keyFile, privateText, { mode: 0o600 });
  return {
    keyFile,
    options: [
      `IdentityFile=${keyFile}`,
      'IdentitiesOnly=yes',
      'BatchMode=yes',
      'StrictHostKeyChecking=no',
      `UserKnownHostsFile=${directory}/known-hosts`,
    ],
  };
}

/** Everything below a directory, as text that is the same for the same names, contents and links. */
export function describeTree(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const file = path.join(directory, name);
      const status = lstatSync(file);
      if (status.isDirectory()) return `${name}/`;
      if (status.isSymbolicLink()) return `${name} -> ${readlinkSync(file)}`;
      return `${name} ${readFileSync(file, 'base64')}`;
    });
}
