import type { PoolClient } from 'pg';
import type { Database } from '../../../database/client.js';
import { emailKeyOf } from '../../../lib/account-fields.js';
import type { Origin } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import type { Passwords } from '../../../lib/passwords.js';
import { ROLE_PERMISSIONS } from '../../../lib/role-permissions.js';
import { inTransaction } from '../../../lib/transaction.js';
import type { AccessTokens } from '../access-tokens.js';
import type { Sessions } from '../account/sessions.js';
import type { LoginBody, SignedIn } from '../schemas.js';
import { createTicket, TICKET_SECONDS } from '../two-factor/two-factor-tickets.js';
import type { AttemptedAccount, Attempts } from './attempts.js';
import { type SignedInUser, signedInAnswer } from './signed-in.js';

interface Account {
  id: string;
  username: string;
  passwordHash: string;
  disabledAt: Date | null;
  failedLogins: number;
  lastFailedLoginAt: Date | null;
}

/** One row of one table: what is asked is the same for an e-mail that nobody has. */
const FIND = `
  SELECT "id", "username", "passwordHash", "disabledAt", "failedLogins", "lastFailedLoginAt"
  FROM "User" WHERE "emailKey" = $1`;

/** Nothing when the account has changed since its password was compared. */
const LOAD = `
  SELECT u."id", u."email", u."username", ${ROLE_PERMISSIONS} AS "permissions",
    EXISTS (
      SELECT FROM "TwoFactor" t WHERE t."userId" = u."id" AND t."confirmedAt" IS NOT NULL
    ) AS "hasSecondFactor"
  FROM "User" u
  WHERE u."id" = $1 AND u."passwordHash" = $2 AND u."disabledAt" IS NULL`;

/**
 * Who changes the password or disables the account meanwhile does so after this login. Logins that have nothing to
 * write to the account hold it together.
 */
const LOAD_AND_SHARE = `${LOAD} FOR SHARE OF u`;
const LOAD_AND_HOLD = `${LOAD} FOR NO KEY UPDATE OF u`;

export interface SignInOptions {
  database: Database;
  passwords: Passwords;
  accessTokens: AccessTokens;
  sessions: Sessions;
  attempts: Attempts;
}

/** The first step of a login, and the only one for who has no second factor. */
export function createSignIn({ database, passwords, accessTokens, sessions, attempts }: SignInOptions) {
  const { pool, prisma } = database;

  return async function login({ email, password }: LoginBody, origin: Origin): Promise<SignedIn> {
    const emailKey = emailKeyOf(email);
    const { rows } = await pool.query<Account>({ name: 'sign-in', text: FIND, values: [emailKey] });
    const account = rows[0] ?? null;
    await attempts.wait({ account, emailKey }, origin.ipAddress);
    const matches = await passwords.verify(account?.passwordHash ?? null, password);
    const entered =
      account && matches && !account.disabledAt
        ? await inTransaction(pool, (transaction) => enter(transaction, account, origin))
        : null;
    if (!entered) {
      await refuse({ account, emailKey }, account?.username ?? null, origin);
      throw new AppError('auth.invalid_credentials');
    }
    if ('ticket' in entered) {
      const details = { ticket: entered.ticket, expiresIn: TICKET_SECONDS };
      throw new AppError('auth.two_factor_required', undefined, { details });
    }
    return signedInAnswer(accessTokens, entered.user, entered.session);
  };

  /** Null when the account has changed since its password was compared. */
  async function enter(transaction: PoolClient, account: Account, origin: Origin) {
    const { rows } = await transaction.query<SignedInUser & { hasSecondFactor: boolean }>(
      account.failedLogins > 0 ? LOAD_AND_HOLD : LOAD_AND_SHARE,
      [account.id, account.passwordHash],
    );
    const user = rows[0];
    if (!user) return null;
    const who = { kind: 'subject', userId: user.id, username: user.username, origin } as const;
    if (user.hasSecondFactor) {
      const ticket = await createTicket(transaction, user.id);
      const resource = { resourceType: 'user', resourceId: user.id };
      await recordAudit(transaction, who, { action: 'auth.two_factor_required', ...resource });
      return { ticket };
    }
    if (account.failedLogins > 0) await attempts.succeed(transaction, user.id);
    const session = await sessions.open(transaction, user.id, origin);
    const resource = { resourceType: 'session', resourceId: session.sessionId };
    await recordAudit(transaction, who, { action: 'auth.login', ...resource });
    return { user, session };
  }

  async function refuse(attempted: AttemptedAccount, username: string | null, origin: Origin): Promise<void> {
    await prisma.$transaction(async (transaction) => {
      await attempts.fail(transaction, attempted);
      const userId = attempted.account?.id ?? null;
      await recordAudit(
        transaction,
        { kind: 'subject', userId, username, origin },
        { action: 'auth.login_failed', ...attempts.resourceOf(attempted) },
      );
    });
  }
}
