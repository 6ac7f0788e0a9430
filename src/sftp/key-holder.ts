import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import ssh2, { type PublicKeyAuthContext } from 'ssh2';
import type { Origin, UserActor } from '../lib/actor.js';
import { AppError } from '../lib/errors.js';
import { ROLE_PERMISSIONS } from '../lib/role-permissions.js';
import { isSecurityKey, isSecurityKeySignatureRight } from './security-keys.js';

const LOAD = `
  SELECT u."id", u."email", u."username", ${ROLE_PERMISSIONS} AS "permissions", k."id" AS "sshKeyId"
  FROM "SshKey" k JOIN "User" u ON u."id" = k."userId"
  WHERE k."fingerprint" = $1 AND u."disabledAt" IS NULL`;

const NOTE_USE = `
  UPDATE "SshKey" SET "lastUsedAt" = now()
  WHERE "id" = $1 AND ("lastUsedAt" IS NULL OR "lastUsedAt" <= now() - interval '1 minute')`;

interface Row {
  id: string;
  email: string;
  username: string;
  permissions: string[];
  sshKeyId: string;
}

/** Whose key it is, with the rights that he has now. Throws `auth.invalid_token`. */
export async function loadKeyHolder(pool: Pool, blob: Buffer, origin: Origin): Promise<UserActor> {
  const digest = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
  const { rows } = await pool.query<Row>({
    name: 'ssh-key-holder',
    text: LOAD,
    values: [`SHA256:${digest}`],
  });
  const [row] = rows;
  if (!row) throw new AppError('auth.invalid_token', 'Nobody who may come in has this key.');
  return {
    kind: 'user',
    userId: row.id,
    email: row.email,
    username: row.username,
    credential: { kind: 'ssh-key', sshKeyId: row.sshKeyId },
    permissions: new Set(row.permissions),
    narrowedTo: null,
    origin,
  };
}

/** The last use of a key is stored to the minute. */
export async function noteKeyUse(pool: Pool, sshKeyId: string): Promise<void> {
  await pool.query({ name: 'ssh-key-use', text: NOTE_USE, values: [sshKeyId] });
}

/** Whether the client holds the private key: it signed what only this connection can have asked it to sign. */
export function isSignatureRight({ key, blob, signature, hashAlgo }: PublicKeyAuthContext): boolean {
  if (!blob || !signature) return false;
  if (isSecurityKey(key.algo)) return isSecurityKeySignatureRight(key.data, blob, signature);
  const parsed = ssh2.utils.parseKey(key.data);
  if (parsed instanceof Error) return false;
  // Without a hash it would be SHA-1.
  if (parsed.type === 'ssh-rsa' && hashAlgo !== 'sha256' && hashAlgo !== 'sha512') return false;
  return parsed.verify(blob, signature, hashAlgo) === true;
}
