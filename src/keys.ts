import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { Config } from './config.js';
import { readOrCreate } from './lib/read-or-create.js';

/** The secrets that everything signed or sealed depends on. */
export interface Keys {
  /** Signs access tokens. */
  jwtSecret: string;
  /** Seals secrets at rest: with another key they cannot be read any more. */
  secretsKey: string;
}

/** From the configuration, else from files in the data directory that are made at the first start. */
export function loadKeys(config: Config): Keys {
  mkdirSync(config.DATA_DIR, { recursive: true });
  return {
    jwtSecret: config.JWT_SECRET ?? keyFile(path.join(config.DATA_DIR, 'jwt-secret')),
    secretsKey: config.SECRETS_KEY ?? keyFile(path.join(config.DATA_DIR, 'secrets-key')),
  };
}

function keyFile(file: string): string {
  const key = readOrCreate(file, () => randomBytes(48).toString('base64url')).trim();
  if (Buffer.byteLength(key) < 32)
    throw new Error(`${file} is too short to be a key: restore it from a backup.`);
  return key;
}
