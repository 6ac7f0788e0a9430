import type { Pool } from 'pg';
import type { Credential, UserActor } from '../../lib/actor.js';
import { ROLE_PERMISSIONS } from '../../lib/role-permissions.js';

/** An actor without where he is: the same token may be used from several places. */
export type KnownUser = Omit<UserActor, 'origin'>;

/** Who a token belongs to, and until when it counts. */
export interface Identified {
  user: KnownUser;
  expiresAtMs: number;
}

interface Row {
  id: string;
  email: string;
  username: string;
  permissions: string[];
}

const USER = `u."id", u."email", u."username", ${ROLE_PERMISSIONS} AS "permissions"`;

const LOAD_SESSION = `
  SELECT ${USER}
  FROM "Session" s JOIN "User" u ON u."id" = s."userId"
  WHERE s."id" = $1 AND u."id" = $2
    AND s."revokedAt" IS NULL AND s."expiresAt" > now() AND u."disabledAt" IS NULL`;

const LOAD_API_KEY = `
  SELECT ${USER}, k."id" AS "apiKeyId", k."permissions" AS "keyPermissions", k."expiresAt"
  FROM "ApiKey" k JOIN "User" u ON u."id" = k."userId"
  WHERE k."tokenHash" = $1 AND (k."expiresAt" IS NULL OR k."expiresAt" > now()) AND u."disabledAt" IS NULL`;

/** The holder of a session, unless it or his account has ended. */
export async function loadSessionHolder(
  pool: Pool,
  { sessionId, userId, expiresAtMs }: { sessionId: string; userId: string; expiresAtMs: number },
): Promise<Identified | null> {
  const { rows } = await pool.query<Row>({
    name: 'session-holder',
    text: LOAD_SESSION,
    values: [sessionId, userId],
  });
  const row = rows[0];
  return row ? { user: toUser(row, { kind: 'session', sessionId }, null), expiresAtMs } : null;
}

/** The owner of an API key, unless it is unknown or has expired, or his account has ended. */
export async function loadApiKeyHolder(pool: Pool, tokenHash: string): Promise<Identified | null> {
  const { rows } = await pool.query<
    Row & { apiKeyId: string; keyPermissions: string[]; expiresAt: Date | null }
  >({ name: 'api-key-holder', text: LOAD_API_KEY, values: [tokenHash] });
  const row = rows[0];
  if (!row) return null;
  const { apiKeyId, keyPermissions, expiresAt } = row;
  const narrowedTo = keyPermissions.includes('*') ? null : new Set(keyPermissions);
  return {
    user: toUser(row, { kind: 'api-key', apiKeyId }, narrowedTo),
    expiresAtMs: expiresAt?.getTime() ?? Number.POSITIVE_INFINITY,
  };
}

function toUser(
  { id, email, username, permissions }: Row,
  credential: Credential,
  narrowedTo: ReadonlySet<string> | null,
): KnownUser {
  return {
    kind: 'user',
    userId: id,
    username,
    email,
    credential,
    permissions: new Set(permissions),
    narrowedTo,
  };
}
