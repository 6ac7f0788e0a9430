import type { Pool } from 'pg';
import type { Credential, Origin } from '../../../lib/actor.js';
import type { Log } from '../../../lib/log.js';
import { cutAddress } from '../account/stored-origin.js';

/** The last use of a key is stored to the minute. */
const INTERVAL_MS = 60_000;
const REMEMBERED_MAX = 10_000;
/** Behind a database that does not answer no more of these wait. */
const WRITING_MAX = 20;

const SAVE = `
  UPDATE "ApiKey" SET "lastUsedAt" = now(), "lastUsedIp" = $2
  WHERE "id" = $1 AND ("lastUsedAt" IS NULL OR "lastUsedAt" <= now() - interval '1 minute')`;

export type ApiKeyUse = ReturnType<typeof createApiKeyUse>;

/** When and from where API keys were last used. Nobody waits for it. */
export function createApiKeyUse({ pool, log }: { pool: Pool; log: Log }) {
  const notedAtMs = new Map<string, number>();
  const writing = new Set<Promise<void>>();

  async function save(apiKeyId: string, { ipAddress }: Origin): Promise<void> {
    try {
      await pool.query({ name: 'api-key-use', text: SAVE, values: [apiKeyId, cutAddress(ipAddress)] });
    } catch (error) {
      log.warn({ apiKeyId, err: error }, 'could not store the last use of an API key');
    }
  }

  return {
    note(credential: Credential, origin: Origin): void {
      if (credential.kind !== 'api-key') return;
      const { apiKeyId } = credential;
      const nowMs = Date.now();
      if (nowMs - (notedAtMs.get(apiKeyId) ?? 0) < INTERVAL_MS || writing.size >= WRITING_MAX) return;
      if (notedAtMs.size >= REMEMBERED_MAX) notedAtMs.clear();
      notedAtMs.set(apiKeyId, nowMs);
      const write = save(apiKeyId, origin).finally(() => writing.delete(write));
      writing.add(write);
    },
    /** Waits for what is under way. */
    async settled(): Promise<void> {
      await Promise.all(writing);
    },
  };
}
