import { randomBytes } from 'node:crypto';
import { generateSecret, generateURI, verify } from 'otplib';
import type { Prisma } from '../../../generated/prisma/client.js';
import { hashToken, type Secrets } from '../../../lib/secrets.js';

const ISSUER = 'Catalyst';
const SECRET_BYTES = 20;
/** A clock may be wrong by one step. */
const TOLERANCE_SECONDS = 30;
export const RECOVERY_CODES = 10;
const RECOVERY_CODE_BYTES = 10;
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** What somebody proves his second factor with. */
export type GivenCode = { code: string } | { recoveryCode: string };

export type TwoFactorCodes = ReturnType<typeof createTwoFactorCodes>;

/** Codes of authenticator apps (RFC 6238: SHA-1, six digits, 30 s) and recovery codes. Each works once. */
export function createTwoFactorCodes(secrets: Secrets) {
  /**
   * Uses a code up: of two requests with the same one exactly one is told true.
   * @param isConfirmed Whether the app is in use already, or about to be confirmed by this code.
   */
  async function useCode(
    transaction: Prisma.TransactionClient,
    { userId, code, isConfirmed }: { userId: string; code: string; isConfirmed: boolean },
  ): Promise<boolean> {
    const enrolled = await transaction.twoFactor.findUnique({
      where: { userId },
      select: { secretEncrypted: true, confirmedAt: true },
    });
    if (!enrolled || (enrolled.confirmedAt !== null) !== isConfirmed) return false;
    const secret = secrets.open(enrolled.secretEncrypted);
    const result = await verify({ secret, token: code, epochTolerance: TOLERANCE_SECONDS });
    if (!result.valid || !('timeStep' in result)) return false;
    // Conditions on the row itself only: an update that waited for another looks again.
    const { count } = await transaction.twoFactor.updateMany({
      where: { userId, OR: [{ lastTimeStep: null }, { lastTimeStep: { lt: result.timeStep } }] },
      data: { lastTimeStep: result.timeStep },
    });
    return count === 1;
  }

  async function useRecoveryCode(
    transaction: Prisma.TransactionClient,
    { userId, recoveryCode }: { userId: string; recoveryCode: string },
  ): Promise<boolean> {
    const { count } = await transaction.recoveryCode.updateMany({
      where: { userId, codeHash: hashRecoveryCode(recoveryCode), usedAt: null },
      data: { usedAt: new Date() },
    });
    return count === 1;
  }

  return {
    /** Uses up whichever of the two was given. */
    use(transaction: Prisma.TransactionClient, userId: string, given: GivenCode): Promise<boolean> {
      return 'code' in given
        ? useCode(transaction, { userId, code: given.code, isConfirmed: true })
        : useRecoveryCode(transaction, { userId, recoveryCode: given.recoveryCode });
    },
    /** Uses up the first code of an app that was enrolled and is not in use yet. */
    useFirst: (transaction: Prisma.TransactionClient, userId: string, code: string) =>
      useCode(transaction, { userId, code, isConfirmed: false }),
    /** For an authenticator app: the secret, the same as a QR code's text, and as it is stored. */
    create(label: string) {
      const secret = generateSecret({ length: SECRET_BYTES });
      const uri = generateURI({ issuer: ISSUER, label, secret });
      return { secret, uri, secretEncrypted: secrets.seal(secret) };
    },
    /** Gives the account new recovery codes instead of the old ones. They cannot be read again. */
    async renewRecoveryCodes(transaction: Prisma.TransactionClient, userId: string): Promise<string[]> {
      const codes = Array.from({ length: RECOVERY_CODES }, createRecoveryCode);
      await transaction.recoveryCode.deleteMany({ where: { userId } });
      await transaction.recoveryCode.createMany({
        data: codes.map((code) => ({ userId, codeHash: hashRecoveryCode(code) })),
      });
      return codes;
    },
  };
}

/** 80 random bits, `abcd-efgh-ijkl-mnop`. */
function createRecoveryCode(): string {
  const bits = [...randomBytes(RECOVERY_CODE_BYTES)]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  const letters = (bits.match(/.{5}/g) ?? []).map((five) => BASE32.charAt(Number.parseInt(five, 2)));
  return (letters.join('').match(/.{4}/g) ?? []).join('-');
}

/** However it was typed. */
function hashRecoveryCode(code: string): string {
  return hashToken(code.toLowerCase().replace(/[\s-]/g, ''));
}
