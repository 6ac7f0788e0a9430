import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import ssh2, { type ParsedKey } from 'ssh2';
import { readOrCreate } from '../lib/read-or-create.js';

const { generateKeyPairSync, parseKey } = ssh2.utils;

const RSA_BITS = 3072;
/** What RSA signs host keys with here; ssh2 would offer SHA-1, too. */
const RSA_ALGORITHMS = ['rsa-sha2-512', 'rsa-sha2-256'] as const;
/** One in some hundred ed25519 keys that ssh2 makes cannot be read again. */
const TRIES_MAX = 20;

export type HostKey = ParsedKey;

/** The keys by which clients know this panel again: made at the first start, mode 0600, and kept. */
export function loadHostKeys(dataDir: string): HostKey[] {
  mkdirSync(dataDir, { recursive: true });
  const ed25519 = load(
    path.join(dataDir, 'sftp-host-key-ed25519'),
    () => generateKeyPairSync('ed25519').private,
  );
  const rsaFile = path.join(dataDir, 'sftp-host-key-rsa');
  const makeRsa = () => generateKeyPairSync('rsa', { bits: RSA_BITS }).private;
  return [ed25519, ...RSA_ALGORITHMS.map((type) => Object.assign(load(rsaFile, makeRsa), { type }))];
}

/** ssh2 does most of its cryptography in a part that is compiled when it is installed, and goes on without. */
export function isCryptographyNative(): boolean {
  try {
    createRequire(import.meta.url)('ssh2/lib/protocol/crypto/build/Release/sshcrypto.node');
    return true;
  } catch {
    return false;
  }
}

/** As OpenSSH's clients show them when they meet a host for the first time. */
export function fingerprintsOf(keys: readonly HostKey[]): string[] {
  const prints = keys.map((key) => {
    const hash = createHash('sha256').update(key.getPublicSSH()).digest('base64').replace(/=+$/, '');
    return `${key.type === 'ssh-ed25519' ? 'ED25519' : 'RSA'} SHA256:${hash}`;
  });
  return [...new Set(prints)];
}

function load(file: string, make: () => string): HostKey {
  const key = parse(readOrCreate(file, () => makeUsable(make)));
  if (!key) throw new Error(`${file} is not a private key: restore it from a backup, or delete it.`);
  return key;
}

function makeUsable(make: () => string): string {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const text = make();
    if (isUsable(text)) return text;
  }
  throw new Error('No host key for SFTP could be made.');
}

function isUsable(text: string): boolean {
  const key = parse(text);
  if (!key) return false;
  const proof = Buffer.from('catalyst');
  const hash = key.type === 'ssh-rsa' ? 'sha256' : undefined;
  const signature: unknown = key.sign(proof, hash);
  return Buffer.isBuffer(signature) && key.verify(proof, signature, hash) === true;
}

function parse(text: string): HostKey | null {
  const key = parseKey(text);
  return key instanceof Error || !key.isPrivateKey() ? null : key;
}
