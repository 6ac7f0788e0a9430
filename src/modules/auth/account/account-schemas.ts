import { z } from 'zod';
import { Email, GivenPassword, NewPassword, Username } from '../../../lib/account-fields.js';
import { success, Timestamp } from '../../../lib/schemas.js';

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

export const Me = z.object({
  id: z.string(),
  email: z.string(),
  username: z.string(),
  createdAt: Timestamp,
});
export type Me = z.output<typeof Me>;

export const MeResponse = success(Me);
