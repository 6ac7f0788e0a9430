import { z } from 'zod';
import { Email, GivenPassword, NewPassword, Username } from '../../../lib/account-fields.js';
import { Id, success } from '../../../lib/schemas.js';

export const SessionParams = z.object({ sessionId: Id });

export const EndedResponse = success(z.object({ ended: z.int() }));

export const ChangePasswordBody = z.strictObject({
  currentPassword: GivenPassword,
  newPassword: NewPassword,
});
export type ChangePasswordBody = z.output<typeof ChangePasswordBody>;

export const UpdateMeBody = z.strictObject({
  email: Email.optional(),
  username: Username.optional(),
  /** Needed for a change of the e-mail. */
  currentPassword: GivenPassword.optional(),
});
export type UpdateMeBody = z.output<typeof UpdateMeBody>;

export const DeleteMeBody = z.strictObject({ password: GivenPassword });
