import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

const PREFIX = 'ctk_';
const RANDOM_BYTES = 24;
const MARK_BYTES = 8;
const FORMAT = /^ctk_[A-Za-z0-9_-]{43}$/;
/** So much of a key is shown in lists: enough to tell one's keys apart. More than 150 random bits stay secret. */
const SHOWN_LENGTH = 10;

export type ApiKeyTokens = ReturnType<typeof createApiKeyTokens>;

export function isApiKeyToken(token: string): boolean {
  return token.startsWith(PREFIX);
}

/** What a list shows of a key. */
export function shownPrefix(token: string): string {
  return token.slice(0, SHOWN_LENGTH);
}

/**
 * API keys are random and carry a mark that only this panel can make, so that a made-up one is refused without asking
 * the database: nobody can keep it busy with keys that do not exist.
 * @param keyMaterial Any secret text; the key of the marks is derived from it.
 */
export function createApiKeyTokens(keyMaterial: string) {
  const markKey = Buffer.from(hkdfSync('sha256', keyMaterial, '', 'catalyst api keys', 32));

  function markOf(random: Buffer): Buffer {
    return createHmac('sha256', markKey).update(random).digest().subarray(0, MARK_BYTES);
  }

  return {
    create(): string {
      const random = randomBytes(RANDOM_BYTES);
      return PREFIX + Buffer.concat([random, markOf(random)]).toString('base64url');
    },
    /** Whether it is one of ours, revoked or not. */
    isGenuine(token: string): boolean {
      if (!FORMAT.test(token)) return false;
      const bytes = Buffer.from(token.slice(PREFIX.length), 'base64url');
      return timingSafeEqual(bytes.subarray(RANDOM_BYTES), markOf(bytes.subarray(0, RANDOM_BYTES)));
    },
  };
}
