import { z } from 'zod';
import { success, Timestamp } from '../../lib/schemas.js';

const EMAIL_MAX_LENGTH = 254;
const PASSWORD_MIN_LENGTH = 8;
const PASSWORD_MAX_LENGTH = 128;
const TOKEN_MAX_LENGTH = 512;

/** As it is shown and mailed to; two that differ in case only are the same account's. */
const Email = z.string().trim().normalize('NFC').max(EMAIL_MAX_LENGTH).pipe(z.email());

const Username = z
  .string()
  .min(3)
  .max(32)
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/,
    'may have letters, digits, "_", "." and "-", and starts with a letter, digit or "_"',
  );

const Password = z
  .string()
  .min(PASSWORD_MIN_LENGTH, 'Password too weak (min 8 characters)')
  .max(PASSWORD_MAX_LENGTH);

export const RegisterBody = z.strictObject({ email: Email, password: Password, username: Username });
export type RegisterBody = z.output<typeof RegisterBody>;

/** No minimum for the password: what was never a password is simply a wrong one. */
export const LoginBody = z.strictObject({
  email: Email,
  password: z.string().min(1).max(PASSWORD_MAX_LENGTH),
});
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

export const Me = z.object({
  id: z.string(),
  email: z.string(),
  username: z.string(),
  createdAt: Timestamp,
});
export type Me = z.output<typeof Me>;

export const SignedInResponse = success(SignedIn);
export const MeResponse = success(Me);
