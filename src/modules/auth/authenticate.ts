import type { Pool } from 'pg';
import type { Bus } from '../../events.js';
import { credentialId, type Origin, type UserActor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { hashToken } from '../../lib/secrets.js';
import type { AccessTokens } from './access-tokens.js';
import { type ApiKeyTokens, isApiKeyToken } from './keys/api-key-tokens.js';
import type { ApiKeyUse } from './keys/api-key-use.js';
import { type Identified, type KnownUser, loadApiKeyHolder, loadSessionHolder } from './token-holders.js';

/** How long a check of session or key, account and rights is believed; then the database is asked again. */
const CHECK_VALID_MS = 1000;
const CACHED_TOKENS_MAX = 10_000;

interface Entry {
  load(): Promise<Identified | null>;
  /** What the last check found: nobody, or somebody; undefined before the first. */
  found: Identified | null | undefined;
  checkedAtMs: number;
  /** The check under way, shared by everybody who waits for it. */
  checking: Promise<KnownUser> | null;
}

export interface AuthenticatorOptions {
  pool: Pool;
  bus: Bus;
  accessTokens: AccessTokens;
  apiKeyTokens: ApiKeyTokens;
  apiKeyUse: ApiKeyUse;
}

/**
 * Turns an access token or an API key into who holds it. A revoked session or key, a disabled account and changed
 * rights count at once in this process, which hears of them on the bus, and within `CHECK_VALID_MS` in any other.
 * Throws `auth.invalid_token`.
 */
export function createAuthenticator(options: AuthenticatorOptions) {
  const { pool, bus, accessTokens, apiKeyTokens, apiKeyUse } = options;
  const entries = new Map<string, Entry>();

  bus.on('session.revoked', ({ sessionId }) => forget((user) => credentialId(user) === sessionId));
  bus.on('apiKey.revoked', ({ apiKeyId }) => forget((user) => credentialId(user) === apiKeyId));
  bus.on('access.changed', ({ userId, serverId }) => {
    if (userId !== undefined) forget((user) => user.userId === userId);
    else if (serverId === undefined) entries.clear();
  });

  /** Checks under way, too: what they find may be from before the change. */
  function forget(isConcerned: (user: KnownUser) => boolean): void {
    for (const [token, { found, checking }] of entries) {
      if (checking || !found || isConcerned(found.user)) entries.delete(token);
    }
  }

  return async function authenticate(token: string, origin: Origin): Promise<UserActor> {
    const user = await identify(token);
    apiKeyUse.note(user.credential, origin);
    return { ...user, origin };
  };

  function identify(token: string): KnownUser | Promise<KnownUser> {
    const entry = entries.get(token) ?? remember(token);
    const nowMs = Date.now();
    // The next try looks at the token itself again, which is cheaper than the database.
    if (entry.found && entry.found.expiresAtMs <= nowMs) entries.delete(token);
    if (entry.found !== undefined && nowMs - entry.checkedAtMs < CHECK_VALID_MS) {
      return requireValid(entry.found, nowMs);
    }
    entry.checking ??= check(entry).finally(() => {
      entry.checking = null;
    });
    return entry.checking;
  }

  /** Only tokens that this panel has made are worth a place and a question to the database. */
  function remember(token: string): Entry {
    const load = isApiKeyToken(token) ? loadKey(token) : loadSession(token);
    if (entries.size >= CACHED_TOKENS_MAX) {
      // Maps keep the order of insertion: the first is the oldest.
      for (const oldest of entries.keys()) {
        entries.delete(oldest);
        break;
      }
    }
    const entry: Entry = { load, found: undefined, checkedAtMs: 0, checking: null };
    entries.set(token, entry);
    return entry;
  }

  function loadSession(token: string): Entry['load'] {
    const verified = accessTokens.verify(token);
    return () => loadSessionHolder(pool, verified);
  }

  function loadKey(token: string): Entry['load'] {
    if (!apiKeyTokens.isGenuine(token)) throw new AppError('auth.invalid_token');
    const tokenHash = hashToken(token);
    return () => loadApiKeyHolder(pool, tokenHash);
  }

  async function check(entry: Entry): Promise<KnownUser> {
    const startedAtMs = Date.now();
    const found = await entry.load();
    // An entry that was forgotten while we asked is not in the map any more, and so never used again.
    entry.found = found;
    entry.checkedAtMs = startedAtMs;
    return requireValid(found, Date.now());
  }
}

function requireValid(found: Identified | null, nowMs: number): KnownUser {
  if (!found || found.expiresAtMs <= nowMs) throw new AppError('auth.invalid_token');
  return found.user;
}
