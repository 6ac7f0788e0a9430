import type { Database } from '../../../database/client.js';
import type { Prisma } from '../../../generated/prisma/client.js';
import type { UserActor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import { lockOwnAccount } from '../account/account-lock.js';
import { ATTEMPTED_COLUMNS, type Attempts } from '../sign-in/attempts.js';
import type { PasswordCheck } from '../sign-in/password-check.js';
import type { GivenCode, TwoFactorCodes } from './two-factor-codes.js';
import type { Enrolment, TwoFactorState } from './two-factor-schemas.js';

export interface TwoFactorOptions {
  database: Database;
  checkPassword: PasswordCheck;
  attempts: Attempts;
  codes: TwoFactorCodes;
}

type Change = 'enrol' | 'confirm' | 'disable' | 'renew_recovery_codes';

/** An account's second factor: enrolled, confirmed with a first code, and from then on asked for at each login. */
export function createTwoFactor({ database, checkPassword, attempts, codes }: TwoFactorOptions) {
  const { prisma } = database;

  async function state({ userId }: UserActor): Promise<TwoFactorState> {
    const [twoFactor, recoveryCodesLeft] = await Promise.all([
      prisma.twoFactor.findUnique({ where: { userId }, select: { confirmedAt: true } }),
      prisma.recoveryCode.count({ where: { userId, usedAt: null } }),
    ]);
    const status = twoFactor ? (twoFactor.confirmedAt ? 'enabled' : 'pending') : 'disabled';
    return { status, enabledAt: twoFactor?.confirmedAt ?? null, recoveryCodesLeft };
  }

  /** The secret is told here and never again. Until it is confirmed the next enrolment replaces it. */
  async function enrol(actor: UserActor, password: string): Promise<Enrolment> {
    await checkPassword(actor, password);
    const { userId } = actor;
    const { secret, uri, secretEncrypted } = codes.create(actor.email);
    await prisma.$transaction(async (transaction) => {
      await requireNotConfirmed(transaction, actor);
      await transaction.twoFactor.deleteMany({ where: { userId } });
      await transaction.twoFactor.create({ data: { userId, secretEncrypted } });
      await audit(transaction, actor, 'enrol');
    });
    return { secret, uri };
  }

  /** Turns it on. The recovery codes are told here and never again. */
  async function confirm(actor: UserActor, code: string): Promise<string[]> {
    const { userId } = actor;
    return prisma.$transaction(async (transaction) => {
      const isEnrolled = await requireNotConfirmed(transaction, actor);
      if (!isEnrolled) throw new AppError('auth.two_factor_disabled', 'Enrol an authenticator app first.');
      if (!(await codes.useFirst(transaction, userId, code))) throw new AppError('auth.two_factor_invalid');
      await transaction.twoFactor.update({ where: { userId }, data: { confirmedAt: new Date() } });
      await audit(transaction, actor, 'confirm');
      return codes.renewRecoveryCodes(transaction, userId);
    });
  }

  async function disable(actor: UserActor, password: string, given: GivenCode): Promise<void> {
    await change(actor, { password, given }, async (transaction) => {
      await transaction.twoFactor.delete({ where: { userId: actor.userId } });
      await transaction.recoveryCode.deleteMany({ where: { userId: actor.userId } });
      await transaction.twoFactorTicket.deleteMany({ where: { userId: actor.userId } });
      await audit(transaction, actor, 'disable');
    });
  }

  /** The old ones do not work any more. */
  async function renewRecoveryCodes(actor: UserActor, password: string, code: string): Promise<string[]> {
    return change(actor, { password, given: { code } }, async (transaction) => {
      await audit(transaction, actor, 'renew_recovery_codes');
      return codes.renewRecoveryCodes(transaction, actor.userId);
    });
  }

  /** What takes the password and a code. Throws `auth.two_factor_disabled`, and `auth.two_factor_invalid`, which counts. */
  async function change<Result>(
    actor: UserActor,
    { password, given }: { password: string; given: GivenCode },
    work: (transaction: Prisma.TransactionClient) => Promise<Result>,
  ): Promise<Result> {
    await checkPassword(actor, password);
    const { userId } = actor;
    const outcome = await prisma.$transaction(async (transaction) => {
      await lockOwnAccount(transaction, actor);
      const account = await transaction.user.findUniqueOrThrow({
        where: { id: userId },
        select: { ...ATTEMPTED_COLUMNS, twoFactor: { select: { confirmedAt: true } } },
      });
      if (!account.twoFactor?.confirmedAt) throw new AppError('auth.two_factor_disabled');
      if (await codes.use(transaction, userId, given)) return { result: await work(transaction) };
      await attempts.fail(transaction, { account, emailKey: account.emailKey });
      const resource = { resourceType: 'user', resourceId: userId };
      await recordAudit(transaction, actor, { action: 'auth.two_factor_failed', ...resource });
      return null;
    });
    if (!outcome) throw new AppError('auth.two_factor_invalid');
    return outcome.result;
  }

  return { state, enrol, confirm, disable, renewRecoveryCodes };
}

/** Whether an app is enrolled. Throws `auth.two_factor_enabled` when it is confirmed too. */
async function requireNotConfirmed(
  transaction: Prisma.TransactionClient,
  actor: UserActor,
): Promise<boolean> {
  await lockOwnAccount(transaction, actor);
  const enrolled = await transaction.twoFactor.findUnique({
    where: { userId: actor.userId },
    select: { confirmedAt: true },
  });
  if (enrolled?.confirmedAt) throw new AppError('auth.two_factor_enabled');
  return enrolled !== null;
}

function audit(transaction: Prisma.TransactionClient, actor: UserActor, change: Change): Promise<void> {
  return recordAudit(transaction, actor, {
    action: `two_factor.${change}`,
    resourceType: 'user',
    resourceId: actor.userId,
  });
}
