import type { Database } from '../../../database/client.js';
import type { Bus } from '../../../events.js';
import type { Prisma } from '../../../generated/prisma/client.js';
import type { Origin, UserActor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import { type Page, type PageQuery, pageRange } from '../../../lib/schemas.js';
import { createToken, hashToken } from '../../../lib/secrets.js';
import { execute, type SqlTransaction } from '../../../lib/transaction.js';
import { createRowId } from '../row-id.js';
import { lockOwnAccount } from './account-lock.js';
import type { SessionView } from './session-schemas.js';
import { cutOrigin } from './stored-origin.js';

const DAY_MS = 24 * 60 * 60 * 1000;
/** A session that is not refreshed for so long ends. */
const SESSION_MS = 30 * DAY_MS;

const COLUMNS = {
  id: true,
  ipAddress: true,
  userAgent: true,
  createdAt: true,
  lastUsedAt: true,
  expiresAt: true,
} as const;

const OPEN = `
  WITH opened AS (
    INSERT INTO "Session" ("id", "userId", "ipAddress", "userAgent", "expiresAt")
    VALUES ($1, $2, $3, $4, $5::timestamptz) RETURNING "id", "expiresAt"
  )
  INSERT INTO "RefreshToken" ("id", "sessionId", "tokenHash", "expiresAt")
  SELECT $6, "id", $7, "expiresAt" FROM opened`;

export interface NewSession {
  sessionId: string;
  refreshToken: string;
}

export type Sessions = ReturnType<typeof createSessions>;

/** Logins: each is a row, and ending it ends every token and socket that came from it. */
export function createSessions({ database, bus }: { database: Database; bus: Bus }) {
  const { prisma } = database;

  async function open(transaction: SqlTransaction, userId: string, origin: Origin): Promise<NewSession> {
    const sessionId = createRowId();
    const refreshToken = createToken('ctr');
    const { ipAddress, userAgent } = cutOrigin(origin);
    await execute(transaction, OPEN, [
      sessionId,
      userId,
      ipAddress,
      userAgent,
      sessionExpiry(),
      createRowId(),
      hashToken(refreshToken),
    ]);
    return { sessionId, refreshToken };
  }

  /**
   * Ends an account's sessions and the logins of it that still wait for their second factor; its API keys stay.
   * The account is locked and the change that is the reason (password, disabling) made before it in the transaction: a
   * login under way then either sees the change, or its session is among those that end. Answers what `publishEnded`
   * has to be given after the commit.
   */
  async function end(
    transaction: Prisma.TransactionClient,
    userId: string,
    { exceptSessionId }: { exceptSessionId?: string } = {},
  ): Promise<string[]> {
    await transaction.twoFactorTicket.deleteMany({ where: { userId } });
    const ended = await transaction.session.updateManyAndReturn({
      where: {
        userId,
        revokedAt: null,
        ...(exceptSessionId !== undefined && { id: { not: exceptSessionId } }),
      },
      data: { revokedAt: new Date() },
      select: { id: true },
    });
    return ended.map(({ id }) => id);
  }

  /** Tells this process, whose caches and sockets forget the sessions at once; others notice within 2 s. */
  function publishEnded(userId: string, sessionIds: readonly string[]): void {
    for (const sessionId of sessionIds) bus.emit('session.revoked', { sessionId, userId });
  }

  /** Ends one of the actor's own. Throws `auth.session_not_found`. */
  async function revoke(
    actor: UserActor,
    sessionId: string,
    action: 'auth.logout' | 'session.revoke',
  ): Promise<void> {
    await prisma.$transaction(async (transaction) => {
      const { count } = await transaction.session.updateMany({
        where: { id: sessionId, userId: actor.userId, revokedAt: null, expiresAt: { gt: new Date() } },
        data: { revokedAt: new Date() },
      });
      if (count === 0) throw new AppError('auth.session_not_found');
      await recordAudit(transaction, actor, { action, resourceType: 'session', resourceId: sessionId });
    });
    publishEnded(actor.userId, [sessionId]);
  }

  /** Ends all of the actor's but the one that he asks with, and answers how many there were. */
  async function revokeOthers(actor: UserActor): Promise<number> {
    const ended = await prisma.$transaction(async (transaction) => {
      const exceptSessionId = requireSession(actor);
      await lockOwnAccount(transaction, actor);
      const ids = await end(transaction, actor.userId, { exceptSessionId });
      if (ids.length === 0) return ids;
      await recordAudit(transaction, actor, {
        action: 'session.revoke_others',
        resourceType: 'user',
        resourceId: actor.userId,
        metadata: { sessions: ids.length },
      });
      return ids;
    });
    publishEnded(actor.userId, ended);
    return ended.length;
  }

  async function list(actor: UserActor, page: PageQuery): Promise<Page<SessionView>> {
    const where = { userId: actor.userId, revokedAt: null, expiresAt: { gt: new Date() } };
    const [rows, total] = await Promise.all([
      prisma.session.findMany({
        where,
        orderBy: [{ lastUsedAt: 'desc' }, { id: 'asc' }],
        ...pageRange(page),
        select: COLUMNS,
      }),
      prisma.session.count({ where }),
    ]);
    const currentId = requireSession(actor);
    return { items: rows.map((row) => ({ ...row, isCurrent: row.id === currentId })), total };
  }

  return { open, end, publishEnded, revoke, revokeOthers, list };
}

/** From now on, until it is refreshed. */
export function sessionExpiry(now = new Date()): Date {
  return new Date(now.getTime() + SESSION_MS);
}

/** The session that the actor asks with. Throws `auth.session_required` for an API key. */
export function requireSession({ credential }: UserActor): string {
  if (credential.kind !== 'session') throw new AppError('auth.session_required');
  return credential.sessionId;
}
