import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '../../../database/client.js';
import type { Prisma } from '../../../generated/prisma/client.js';
import { AppError } from '../../../lib/errors.js';
import { execute, type SqlTransaction } from '../../../lib/transaction.js';
import { cutAddress } from '../account/stored-origin.js';
import { createUnknownAccounts } from './unknown-accounts.js';

/** So many failures one after the other cost nothing: people mistype. */
const FREE_FAILURES = 5;
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 4000;
/** Failures that lie further back do not count. */
const FORGET_AFTER_MS = 15 * 60_000;
const FAILURES_MAX = 1000;

/** Attempts that wait at the same time, of all accounts: fewer than the line for hashing has places. */
const WAITING_MAX = 100;
/** Of one account from one address. */
const WAITING_PER_ADDRESS_MAX = 1;
/** The same where the account has signed in before: more than the limit on requests lets anybody have there. */
const WAITING_AT_HOME_MAX = 50;

const FORGET = `UPDATE "User" SET "failedLogins" = 0, "lastFailedLoginAt" = NULL WHERE "id" = $1`;

/** What has to be loaded of an account that somebody tries to get into. */
export const ATTEMPTED_COLUMNS = {
  id: true,
  emailKey: true,
  failedLogins: true,
  lastFailedLoginAt: true,
} as const;

/** What is slowed down: an account, or an e-mail that none has. */
export interface AttemptedAccount {
  account: { id: string; failedLogins: number; lastFailedLoginAt: Date | null } | null;
  emailKey: string;
}

export type Attempts = ReturnType<typeof createAttempts>;

/**
 * Guessing a password gets slow, whoever guesses from wherever, and the owner is never locked out: from the fifth
 * failure on each attempt waits before it is looked at, the right one too. The count is the account's, in the
 * database; e-mails that nobody has are counted there too, so that the delay does not tell which ones somebody has.
 */
export function createAttempts({
  database: { prisma, pool },
  keyMaterial,
}: {
  database: Database;
  keyMaterial: string;
}) {
  const unknown = createUnknownAccounts({ pool, keyMaterial, forgetAfterMs: FORGET_AFTER_MS });
  const waiting = new Map<string, number>();
  let waitingTotal = 0;

  /** Asks the same of both, so that it takes as long. */
  async function failuresOf({ account, emailKey }: AttemptedAccount): Promise<number> {
    const unknownFailures = await unknown.failures(emailKey);
    if (!account) return unknownFailures;
    const { failedLogins, lastFailedLoginAt } = account;
    const isRecent = (lastFailedLoginAt?.getTime() ?? 0) > Date.now() - FORGET_AFTER_MS;
    return isRecent ? failedLogins : 0;
  }

  /** Waits as long as the failures so far demand. Throws `auth.too_many_attempts` and `auth.busy`. */
  async function wait(attempted: AttemptedAccount, address: string): Promise<void> {
    const ipAddress = cutAddress(address);
    const delayMs = delayAfter(await failuresOf(attempted));
    if (delayMs === 0) return;
    const key = `${attempted.account?.id ?? attempted.emailKey} ${ipAddress}`;
    const isCrowd = (waiting.get(key) ?? 0) >= WAITING_PER_ADDRESS_MAX;
    if (isCrowd || waitingTotal >= WAITING_MAX) {
      const isAtHome = await hasSignedInFrom(attempted, ipAddress);
      const isFlood = (waiting.get(key) ?? 0) >= WAITING_AT_HOME_MAX;
      const retryAfterSeconds = Math.ceil(delayMs / 1000);
      if (isFlood || (isCrowd && !isAtHome)) {
        throw new AppError('auth.too_many_attempts', undefined, { retryAfterSeconds });
      }
      if (!isAtHome) throw new AppError('auth.busy', undefined, { retryAfterSeconds });
    }
    enter(key);
    try {
      await delay(delayMs);
    } finally {
      leave(key);
    }
  }

  function enter(key: string): void {
    waiting.set(key, (waiting.get(key) ?? 0) + 1);
    waitingTotal += 1;
  }

  function leave(key: string): void {
    const others = (waiting.get(key) ?? 1) - 1;
    if (others === 0) waiting.delete(key);
    else waiting.set(key, others);
    waitingTotal -= 1;
  }

  /** Asked of accounts that do not exist too: it takes as long. */
  async function hasSignedInFrom({ account }: AttemptedAccount, ipAddress: string): Promise<boolean> {
    const session = await prisma.session.findFirst({
      where: { userId: account?.id ?? '', ipAddress },
      select: { id: true },
    });
    return session !== null;
  }

  /**
   * Counts a failure. The statement is the same for an e-mail that nobody has, so that it takes as long: there it is
   * the entry in the audit log that counts.
   */
  async function fail(transaction: Prisma.TransactionClient, { account }: AttemptedAccount): Promise<void> {
    const oldest = new Date(Date.now() - FORGET_AFTER_MS);
    await transaction.$executeRaw`
      UPDATE "User" SET "lastFailedLoginAt" = ${new Date()},
        "failedLogins" = CASE WHEN "lastFailedLoginAt" > ${oldest} THEN least("failedLogins" + 1, ${FAILURES_MAX}) ELSE 1 END
      WHERE "id" = ${account?.id ?? ''}`;
  }

  /** Somebody has signed in: what failed before does not count. */
  function succeed(transaction: SqlTransaction, userId: string): Promise<void> {
    return execute(transaction, FORGET, [userId]);
  }

  /** What the audit log's entry of a failed login is about. */
  function resourceOf({ account, emailKey }: AttemptedAccount) {
    return account ? { resourceType: 'user', resourceId: account.id } : unknown.resource(emailKey);
  }

  return { wait, fail, succeed, resourceOf };
}

function delayAfter(failures: number): number {
  if (failures < FREE_FAILURES) return 0;
  return Math.min(FIRST_DELAY_MS * 2 ** (failures - FREE_FAILURES), LONGEST_DELAY_MS);
}
