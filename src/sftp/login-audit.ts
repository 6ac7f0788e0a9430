import type { Pool } from 'pg';
import type { Origin, UserActor } from '../lib/actor.js';
import { recordAudit } from '../lib/audit.js';
import type { Log } from '../lib/log.js';
import { createTokenBucket } from '../lib/token-bucket.js';
import { networkOf } from './admission.js';
import { shownPath } from './change-batches.js';

/** Clients open many connections, and strangers try many keys: one entry a minute says so, and how many it stands for. */
const INTERVAL_MS = 60_000;
const REMEMBERED_MAX = 10_000;
/** Failures from everywhere together. */
const FAILURES_AT_ONCE = 100;
const FAILURES_PER_SECOND = 1;

export type LoginAudit = ReturnType<typeof createLoginAudit>;

export function createLoginAudit({ pool, log }: { pool: Pool; log: Log }) {
  const entries = new Map<string, { writtenAtMs: number; left: number }>();
  const failures = createTokenBucket({ capacity: FAILURES_AT_ONCE, refillPerSecond: FAILURES_PER_SECOND });

  /** How many were left out since the last one that was written; null when this one is left out too. */
  function due(key: string): number | null {
    const known = entries.get(key);
    if (known && Date.now() - known.writtenAtMs < INTERVAL_MS) {
      known.left += 1;
      return null;
    }
    if (entries.size >= REMEMBERED_MAX) entries.clear();
    entries.set(key, { writtenAtMs: Date.now(), left: 0 });
    return known?.left ?? 0;
  }

  return {
    async succeeded(actor: UserActor, serverId: string): Promise<void> {
      const leftOut = due(`${actor.userId} ${serverId} ${actor.origin.ipAddress}`);
      if (leftOut === null) return;
      await recordAudit(pool, actor, {
        action: 'sftp.login',
        resourceType: 'server',
        resourceId: serverId,
        serverId,
        metadata: { with: actor.credential.kind, ...(leftOut > 0 && { moreBefore: leftOut }) },
      });
    },
    /** Never rejects: who is refused is refused, recorded or not. @param username As given: a text of anybody's. */
    async failed(origin: Origin, username: string, reason: string): Promise<void> {
      const leftOut = due(networkOf(origin.ipAddress));
      if (leftOut === null || !failures.take()) return;
      const who = { kind: 'subject', userId: null, username: null, origin } as const;
      try {
        await recordAudit(pool, who, {
          action: 'sftp.login_failed',
          resourceType: 'server',
          resourceId: null,
          metadata: { username: shownPath(username), reason, ...(leftOut > 0 && { moreBefore: leftOut }) },
        });
      } catch (error) {
        log.warn({ err: error }, 'a failed login by SFTP could not be recorded');
      }
    },
  };
}
