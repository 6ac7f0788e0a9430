import { z } from 'zod';
import { GivenPassword } from '../../../lib/account-fields.js';
import { success, Timestamp } from '../../../lib/schemas.js';
import type { GivenCode } from './two-factor-codes.js';

const TICKET_MAX_LENGTH = 512;
const RECOVERY_CODE_MAX_LENGTH = 64;

/** Apps show it as `123 456`. */
const Code = z
  .string()
  .max(16)
  .overwrite((text) => text.replaceAll(' ', ''))
  .regex(/^\d{6}$/, 'is not a code of six digits');

const RecoveryCode = z.string().min(1).max(RECOVERY_CODE_MAX_LENGTH);

const codeFields = { code: Code.optional(), recoveryCode: RecoveryCode.optional() };
const ONE_CODE = { error: 'Give either code or recoveryCode', path: ['code'] };

function hasOneCode({
  code,
  recoveryCode,
}: {
  code?: string | undefined;
  recoveryCode?: string | undefined;
}) {
  return (code === undefined) !== (recoveryCode === undefined);
}

/** Which of the two was given, once the body has been checked. */
export function givenCode(body: { code?: string | undefined; recoveryCode?: string | undefined }): GivenCode {
  return body.code === undefined ? { recoveryCode: body.recoveryCode ?? '' } : { code: body.code };
}

export const SecondStepBody = z
  .strictObject({ ticket: z.string().min(1).max(TICKET_MAX_LENGTH), ...codeFields })
  .refine(hasOneCode, ONE_CODE);

export const EnrolBody = z.strictObject({ password: GivenPassword });
export const ConfirmBody = z.strictObject({ code: Code });
export const DisableBody = z
  .strictObject({ password: GivenPassword, ...codeFields })
  .refine(hasOneCode, ONE_CODE);
export const RecoveryCodesBody = z.strictObject({ password: GivenPassword, code: Code });

export const TwoFactorState = z.object({
  /** Enrolled and not confirmed yet is `pending`: logins do not ask for a code. */
  status: z.enum(['disabled', 'pending', 'enabled']),
  enabledAt: Timestamp.nullable(),
  recoveryCodesLeft: z.int(),
});
export type TwoFactorState = z.output<typeof TwoFactorState>;

export const Enrolment = z.object({
  /** Base32, for typing. */
  secret: z.string(),
  /** `otpauth://…`, for a QR code. */
  uri: z.string(),
});
export type Enrolment = z.output<typeof Enrolment>;

export const TwoFactorResponse = success(TwoFactorState);
export const EnrolmentResponse = success(Enrolment);
export const RecoveryCodesResponse = success(z.object({ recoveryCodes: z.array(z.string()) }));
