import type { Pool } from 'pg';
import { HostFailure, reasonOf } from './failure.js';
import type { DatabaseDependencies } from './service.js';
import { accountOf, type StoredDatabase, settingsOf } from './stored.js';

export interface PendingDatabases {
  /**
   * Clears away what was not made to its end, and drops what is to be deleted or whose server is gone. A tick: what fails, because a host is
   * away for instance, is tried again by a later one. Answers how many databases were dealt with.
   */
  finishPending(now: Date): Promise<number>;
  /** Ends it; what is left is there for the next start. */
  close(): Promise<void>;
}

/** Longer than any request can still be at work on it. */
const CREATING_EXPIRES_MS = 2 * 60_000;
/** Between two attempts, and longer than one can take: nobody else begins before the first has given up. */
const RETRY_INTERVAL_MS = 60_000;
const BATCH_MAX = 20;

/** Of all panels one gets the row; that it is being dealt with is said by the time of its state. */
const CLAIM = `
  UPDATE "ServerDatabase"
  SET "stateChangedAt" = $1, "state" = CASE "state" WHEN 'creating' THEN "state" ELSE 'deleting' END
  WHERE "id" = (
    SELECT "id" FROM "ServerDatabase"
    WHERE (("state" = 'creating' AND "stateChangedAt" <= $2) OR ("state" = 'deleting' AND "stateChangedAt" <= $3)
        OR ("state" = 'ready' AND "serverId" IS NULL))
      AND "hostId" <> ALL ($4::text[])
    ORDER BY "stateChangedAt" FOR UPDATE SKIP LOCKED LIMIT 1)
  RETURNING "id", "stateChangedAt"`;

interface Claim {
  id: string;
  stateChangedAt: Date;
}

export function createPendingDatabases({
  prisma,
  pool,
  secrets,
  connections,
  log,
}: DatabaseDependencies): PendingDatabases {
  /** One at a time: a tick that comes while the last is still at work joins it. */
  let round: Promise<number> | null = null;
  let isClosing = false;

  /** False: somebody else took it over, because this panel had stopped in between. */
  async function isStillOurs({ id, stateChangedAt }: Claim): Promise<boolean> {
    return (await prisma.serverDatabase.count({ where: { id, stateChangedAt } })) > 0;
  }

  async function clear(claim: Claim, stored: StoredDatabase): Promise<void> {
    const about = { databaseId: stored.id, hostId: stored.hostId, name: stored.name };
    await connections.use(settingsOf(stored.host, secrets), async (session) => {
      if (!(await isStillOurs(claim))) return;
      const account = accountOf(stored, secrets);
      const isOurs = await (stored.state === 'deleting' ? session.remove(account) : session.discard(account));
      if (!isOurs) log.warn(about, 'left a database alone that may not be ours');
      await prisma.serverDatabase.deleteMany({ where: claim });
      log.info(
        about,
        stored.state === 'deleting' ? 'a database was dropped' : 'half a database was cleared away',
      );
    });
  }

  async function finish(now: Date): Promise<number> {
    const startedAtMs = Date.now();
    const unavailable = new Set<string>();
    let count = 0;
    for (let attempt = 0; attempt < BATCH_MAX && !isClosing; attempt += 1) {
      // Earlier ones may have taken long, and a claim lasts from when it is made.
      const claimedAt = new Date(now.getTime() + Date.now() - startedAtMs);
      const claim = await claimNext(pool, claimedAt, [...unavailable]);
      if (!claim) break;
      const where = { id: claim.id };
      const stored = await prisma.serverDatabase.findUnique({ where, include: { host: true } });
      if (!stored) continue;
      try {
        await clear(claim, stored);
        count += 1;
      } catch (error) {
        if (error instanceof HostFailure && error.kind !== 'refused') unavailable.add(stored.hostId);
        const about = { databaseId: stored.id, hostId: stored.hostId, reason: reasonOf(error) };
        log.warn(about, 'a database could not be cleared away, it will be tried again');
      }
    }
    return count;
  }

  return {
    finishPending(now) {
      round ??= finish(now).finally(() => {
        round = null;
      });
      return round;
    },
    async close() {
      isClosing = true;
      connections.close();
      // Its failure is known to who began it.
      await round?.catch(() => {});
    },
  };
}

async function claimNext(pool: Pool, now: Date, exceptHostIds: string[]): Promise<Claim | null> {
  const { rows } = await pool.query<Claim>(CLAIM, [
    now,
    new Date(now.getTime() - CREATING_EXPIRES_MS),
    new Date(now.getTime() - RETRY_INTERVAL_MS),
    exceptHostIds,
  ]);
  return rows[0] ?? null;
}
