import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Part of OpenSSH. */
const KEYGEN = 'ssh-keygen';

export interface KeyPair {
  publicLine: string;
  privateText: string;
  /** As `ssh-keygen -l` prints it. */
  fingerprint: string;
}

/** A key made by OpenSSH itself: `makeKeyPair('-t', 'rsa', '-b', '3072')`. */
export function makeKeyPair(...kind: string[]): KeyPair {
  return inDirectory((directory) => {
    const file = path.join(directory, 'key');
    execFileSync(KEYGEN, ['-q', '-N', '', '-C', 'somebody@somewhere', ...kind, '-f', file]);
    const publicLine = readFileSync(`${file}.pub`, 'utf8');
    return {
      publicLine,
      privateText: readFileSync(file, 'utf8'),
      fingerprint: fingerprintOf(publicLine) ?? '',
    };
  });
}

/** What `ssh-keygen -l` says of a line; null when it does not take it for a key. */
export function fingerprintOf(publicLine: string): string | null {
  return inDirectory((directory) => {
    const file = path.join(directory, 'key.pub');
    writeFileSync(file, publicLine);
    try {
      const printed = execFileSync(KEYGEN, ['-l', '-f', file], { encoding: 'utf8', stdio: 'pipe' });
      return printed.split(' ')[1] ?? null;
    } catch {
      return null;
    }
  });
}

function inDirectory<Result>(work: (directory: string) => Result): Result {
  const directory = mkdtempSync(path.join(tmpdir(), 'catalyst-ssh-'));
  try {
    return work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
