import { z } from 'zod';
import { Email, GivenPassword, NewPassword, Username } from '../../lib/account-fields.js';
import { success } from '../../lib/schemas.js';

const TOKEN_MAX_LENGTH = 512;

export const RegisterBody = z.strictObject({ email: Email, password: NewPassword, username: Username });
export type RegisterBody = z.output<typeof RegisterBody>;

export const LoginBody = z.strictObject({ email: Email, password: GivenPassword });
export type LoginBody = z.output<typeof LoginBody>;

export const RefreshBody = z.strictObject({ refreshToken: z.string().min(1).max(TOKEN_MAX_LENGTH) });

export const SignedIn = z.object({
  userId: z.string(),
  email: z.string(),
  username: z.string(),
  /** For `Authorization: Bearer …`. */
  token: z.string(),
  /** Exchanged once, at `POST /api/auth/refresh`, for new ones of both. */
  refreshToken: z.string(),
  /** Seconds until `token` expires. */
  expiresIn: z.int(),
});
export type SignedIn = z.output<typeof SignedIn>;

export const SignedInResponse = success(SignedIn);
