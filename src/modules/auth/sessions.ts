import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import { AppError } from '../../lib/errors.js';
import { createToken, hashToken } from '../../lib/secrets.js';

const DAY_MS = 24 * 60 * 60 * 1000;
/** A session that is not refreshed for so long ends. */
const SESSION_MS = 30 * DAY_MS;
const USER_AGENT_MAX_LENGTH = 256;

/** Where a login came from, for the list of one's sessions. */
export interface ClientInfo {
  ipAddress: string;
  userAgent: string | undefined;
}

/** A login, and its chain of refresh tokens: each is used once, and an old one's use ends the session. */
export function createSessions({ database, bus }: { database: Database; bus: Bus }) {
  const { prisma } = database;

  /** What a new session's row needs beside its user. */
  function draft(client: ClientInfo) {
    const refreshToken = createToken('ctr');
    const expiresAt = new Date(Date.now() + SESSION_MS);
    const row = {
      ipAddress: client.ipAddress,
      userAgent: client.userAgent?.slice(0, USER_AGENT_MAX_LENGTH) ?? null,
      expiresAt,
      refreshTokens: { create: { tokenHash: hashToken(refreshToken), expiresAt } },
    };
    return { refreshToken, row };
  }

  async function open(userId: string, client: ClientInfo) {
    const { refreshToken, row } = draft(client);
    const { id } = await prisma.session.create({ data: { userId, ...row }, select: { id: true } });
    return { sessionId: id, refreshToken };
  }

  async function revoke(sessionId: string): Promise<void> {
    const [session] = await prisma.session.updateManyAndReturn({
      where: { id: sessionId, revokedAt: null },
      data: { revokedAt: new Date() },
      select: { userId: true },
    });
    if (session) bus.emit('session.revoked', { sessionId, userId: session.userId });
  }

  /** Uses a refresh token up and answers its successor. Throws `auth.invalid_token`. */
  async function rotate(refreshToken: string) {
    const tokenHash = hashToken(refreshToken);
    const rotated = await prisma.$transaction(async (transaction) => {
      const now = new Date();
      // Conditions on the row itself only: then the update takes its lock and looks again, and of two at once one wins.
      const [used] = await transaction.refreshToken.updateManyAndReturn({
        where: { tokenHash, usedAt: null, expiresAt: { gt: now } },
        data: { usedAt: now },
        select: { sessionId: true },
      });
      if (!used) return null;
      const expiresAt = new Date(now.getTime() + SESSION_MS);
      const [session] = await transaction.session.updateManyAndReturn({
        where: { id: used.sessionId, revokedAt: null, expiresAt: { gt: now } },
        data: { expiresAt, lastUsedAt: now },
        select: { id: true, userId: true },
      });
      if (!session) return null;
      const successor = createToken('ctr');
      await transaction.refreshToken.create({
        data: { sessionId: session.id, tokenHash: hashToken(successor), expiresAt },
      });
      return { userId: session.userId, sessionId: session.id, refreshToken: successor };
    });
    if (rotated) return rotated;
    await revokeFamilyOf(tokenHash);
    throw new AppError('auth.invalid_token');
  }

  /** Somebody used a token for the second time: one of the two is a thief, so neither goes on. */
  async function revokeFamilyOf(tokenHash: string): Promise<void> {
    const token = await prisma.refreshToken.findUnique({
      where: { tokenHash },
      select: { sessionId: true, usedAt: true },
    });
    if (token?.usedAt) await revoke(token.sessionId);
  }

  return { draft, open, revoke, rotate };
}
