import type { Pool } from 'pg';
import type { Bus } from '../../events.js';
import type { UserActor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { AccessTokens } from './access-tokens.js';

/** How long a check of session, account and rights is believed; then the database is asked again. */
const CHECK_VALID_MS = 1000;
const CACHED_TOKENS_MAX = 10_000;

interface Entry {
  userId: string;
  sessionId: string;
  tokenExpiresAtMs: number;
  checkedAtMs: number;
  actor: UserActor | null;
  /** The check under way, shared by everybody who waits for it. */
  checking: Promise<UserActor> | null;
}

const LOAD = `
  SELECT u."id", u."email", u."username",
    ARRAY(
      SELECT DISTINCT unnest(r."permissions")
      FROM "UserRole" ur JOIN "Role" r ON r."id" = ur."roleId"
      WHERE ur."userId" = u."id"
    ) AS "permissions"
  FROM "Session" s JOIN "User" u ON u."id" = s."userId"
  WHERE s."id" = $1 AND u."id" = $2
    AND s."revokedAt" IS NULL AND s."expiresAt" > now() AND u."disabledAt" IS NULL`;

/**
 * Turns an access token into who holds it. A revoked session, a disabled account and changed rights count at once
 * in this process, which hears of them on the bus, and within `CHECK_VALID_MS` in any other.
 * Throws `auth.invalid_token`.
 */
export function createAuthenticator(options: { pool: Pool; bus: Bus; accessTokens: AccessTokens }) {
  const { pool, bus, accessTokens } = options;
  const entries = new Map<string, Entry>();

  bus.on('session.revoked', ({ sessionId }) => forget((entry) => entry.sessionId === sessionId));
  bus.on('access.changed', ({ userId, serverId }) => {
    if (userId !== undefined) forget((entry) => entry.userId === userId);
    else if (serverId === undefined) entries.clear();
  });

  function forget(isConcerned: (entry: Entry) => boolean): void {
    for (const [token, entry] of entries) if (isConcerned(entry)) entries.delete(token);
  }

  return async function authenticate(token: string): Promise<UserActor> {
    const entry = entries.get(token) ?? remember(token);
    const nowMs = Date.now();
    if (entry.tokenExpiresAtMs <= nowMs) {
      entries.delete(token);
      throw new AppError('auth.invalid_token');
    }
    if (entry.actor && nowMs - entry.checkedAtMs < CHECK_VALID_MS) return entry.actor;
    entry.checking ??= check(token, entry).finally(() => {
      entry.checking = null;
    });
    return entry.checking;
  };

  function remember(token: string): Entry {
    const { userId, sessionId, expiresAtMs } = accessTokens.verify(token);
    if (entries.size >= CACHED_TOKENS_MAX) {
      // Maps keep the order of insertion: the first is the oldest.
      for (const oldest of entries.keys()) {
        entries.delete(oldest);
        break;
      }
    }
    const entry: Entry = {
      userId,
      sessionId,
      tokenExpiresAtMs: expiresAtMs,
      checkedAtMs: 0,
      actor: null,
      checking: null,
    };
    entries.set(token, entry);
    return entry;
  }

  async function check(token: string, entry: Entry): Promise<UserActor> {
    const startedAtMs = Date.now();
    const { rows } = await pool.query<{
      id: string;
      email: string;
      username: string;
      permissions: string[];
    }>({ name: 'authenticate', text: LOAD, values: [entry.sessionId, entry.userId] });
    const user = rows[0];
    if (!user) {
      entries.delete(token);
      throw new AppError('auth.invalid_token');
    }
    const actor: UserActor = {
      kind: 'user',
      userId: user.id,
      username: user.username,
      email: user.email,
      sessionId: entry.sessionId,
      permissions: new Set(user.permissions),
    };
    // An entry that was forgotten while we asked is not in the map any more, and so never used again.
    entry.actor = actor;
    entry.checkedAtMs = startedAtMs;
    return actor;
  }
}
