import type { Database } from '../../../database/client.js';
import type { Prisma } from '../../../generated/prisma/client.js';
import type { Origin } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import { hashToken } from '../../../lib/secrets.js';
import type { AccessTokens } from '../access-tokens.js';
import { lockAccount } from '../account/account-lock.js';
import type { Sessions } from '../account/sessions.js';
import type { SignedIn } from '../schemas.js';
import type { GivenCode, TwoFactorCodes } from '../two-factor/two-factor-codes.js';
import { tryTicket } from '../two-factor/two-factor-tickets.js';
import { ATTEMPTED_COLUMNS, type Attempts } from './attempts.js';
import { SIGNED_IN_COLUMNS, signedInAnswer, toSignedInUser } from './signed-in.js';

export interface SecondStepOptions {
  database: Database;
  accessTokens: AccessTokens;
  sessions: Sessions;
  attempts: Attempts;
  codes: TwoFactorCodes;
}

/** The second step of a login: the ticket of the first and a code. */
export function createSecondStep(options: SecondStepOptions) {
  const { database, accessTokens, sessions, attempts, codes } = options;
  const { prisma } = database;

  /** Throws `auth.two_factor_invalid` for a wrong code and for a ticket that is not good (any more) alike. */
  return async function loginSecondStep(ticket: string, given: GivenCode, origin: Origin): Promise<SignedIn> {
    const account = await findAccount(ticket);
    await attempts.wait({ account, emailKey: account.emailKey }, origin.ipAddress);
    const entered = await prisma.$transaction((transaction) =>
      enter(transaction, { userId: account.id, ticket, given, origin }),
    );
    if (!entered) throw new AppError('auth.two_factor_invalid');
    return signedInAnswer(accessTokens, entered.user, entered.session);
  };

  async function findAccount(ticket: string) {
    const found = await prisma.twoFactorTicket.findUnique({
      where: { tokenHash: hashToken(ticket) },
      select: { user: { select: ATTEMPTED_COLUMNS } },
    });
    if (!found) throw new AppError('auth.two_factor_invalid');
    return found.user;
  }

  /** Null when it is refused: what was counted stays counted. */
  async function enter(
    transaction: Prisma.TransactionClient,
    { userId, ticket, given, origin }: { userId: string; ticket: string; given: GivenCode; origin: Origin },
  ) {
    const isActive = await lockAccount(transaction, userId);
    const tried = isActive ? await tryTicket(transaction, ticket) : null;
    if (!tried) return null;
    const user = await transaction.user.findUniqueOrThrow({
      where: { id: userId },
      select: { ...SIGNED_IN_COLUMNS, ...ATTEMPTED_COLUMNS },
    });
    const who = { kind: 'subject', userId, username: user.username, origin } as const;
    if (!(await codes.use(transaction, userId, given))) {
      await attempts.fail(transaction, { account: user, emailKey: user.emailKey });
      const resource = { resourceType: 'user', resourceId: userId };
      await recordAudit(transaction, who, { action: 'auth.two_factor_failed', ...resource });
      return null;
    }
    await transaction.twoFactorTicket.delete({ where: { id: tried.id } });
    await attempts.succeed(transaction, userId);
    const session = await sessions.open(transaction, userId, origin);
    await recordAudit(transaction, who, {
      action: 'auth.login',
      resourceType: 'session',
      resourceId: session.sessionId,
      metadata: { secondFactor: 'code' in given ? 'code' : 'recovery code' },
    });
    return { user: toSignedInUser(user), session };
  }
}
