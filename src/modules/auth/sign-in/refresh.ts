import type { Database } from '../../../database/client.js';
import type { Prisma } from '../../../generated/prisma/client.js';
import type { Origin } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import { createToken, hashToken } from '../../../lib/secrets.js';
import { type NewSession, type Sessions, sessionExpiry } from '../account/sessions.js';
import { cutOrigin } from '../account/stored-origin.js';
import { SIGNED_IN_COLUMNS, type SignedInUser, toSignedInUser } from './signed-in.js';

export interface Refreshed extends NewSession {
  user: SignedInUser;
}

/** The chain of a session's refresh tokens: each is used once, and an old one's use ends the session. */
export function createRefresh({ database, sessions }: { database: Database; sessions: Sessions }) {
  const { prisma } = database;

  /** Uses a refresh token up and answers its successor. Throws `auth.invalid_token`. */
  return async function rotate(refreshToken: string, origin: Origin): Promise<Refreshed> {
    const tokenHash = hashToken(refreshToken);
    const rotated = await prisma.$transaction((transaction) => useUp(transaction, tokenHash, origin));
    if (rotated) return rotated;
    await revokeFamilyOf(tokenHash, origin);
    throw new AppError('auth.invalid_token');
  };

  /** Null when the token was never one or was used before. Throws, and leaves it unused, when its session has ended. */
  async function useUp(
    transaction: Prisma.TransactionClient,
    tokenHash: string,
    origin: Origin,
  ): Promise<Refreshed | null> {
    const now = new Date();
    const token = await transaction.refreshToken.findUnique({
      where: { tokenHash },
      select: { sessionId: true },
    });
    if (!token) return null;
    // The session before its tokens, as whoever deletes the account comes by them.
    await transaction.$queryRaw`SELECT FROM "Session" WHERE "id" = ${token.sessionId} FOR NO KEY UPDATE`;
    // Conditions on the row itself only: then the update takes its lock and looks again, and of two at once one wins.
    const [used] = await transaction.refreshToken.updateManyAndReturn({
      where: { tokenHash, usedAt: null, expiresAt: { gt: now } },
      data: { usedAt: now },
      select: { sessionId: true },
    });
    if (!used) return null;
    const expiresAt = sessionExpiry(now);
    const [session] = await transaction.session.updateManyAndReturn({
      where: { id: used.sessionId, revokedAt: null, expiresAt: { gt: now } },
      data: { expiresAt, lastUsedAt: now, ...cutOrigin(origin) },
      select: { id: true, userId: true },
    });
    if (!session) throw new AppError('auth.invalid_token');
    const user = await transaction.user.findUnique({
      where: { id: session.userId, disabledAt: null },
      select: SIGNED_IN_COLUMNS,
    });
    if (!user) throw new AppError('auth.invalid_token');
    const successor = createToken('ctr');
    await transaction.refreshToken.create({
      data: { sessionId: session.id, tokenHash: hashToken(successor), expiresAt },
    });
    return { user: toSignedInUser(user), sessionId: session.id, refreshToken: successor };
  }

  /** Somebody used a token for the second time: one of the two is a thief, so neither goes on. */
  async function revokeFamilyOf(tokenHash: string, origin: Origin): Promise<void> {
    const token = await prisma.refreshToken.findUnique({
      where: { tokenHash },
      select: {
        usedAt: true,
        session: { select: { id: true, userId: true, user: { select: { username: true } } } },
      },
    });
    if (!token?.usedAt) return;
    const { id: sessionId, userId, user } = token.session;
    const isEnded = await prisma.$transaction(async (transaction) => {
      const { count } = await transaction.session.updateMany({
        where: { id: sessionId, revokedAt: null },
        data: { revokedAt: new Date() },
      });
      if (count === 0) return false;
      await recordAudit(
        transaction,
        { kind: 'subject', userId, username: user.username, origin },
        { action: 'auth.refresh_reuse', resourceType: 'session', resourceId: sessionId },
      );
      return true;
    });
    if (isEnded) sessions.publishEnded(userId, [sessionId]);
  }
}
