import { z } from 'zod';
import { Email, GivenPassword, NewPassword, Username } from '../../lib/account-fields.js';
import { success, successPage, Timestamp } from '../../lib/schemas.js';

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

export const Me = z.object({
  id: z.string(),
  email: z.string(),
  username: z.string(),
  createdAt: Timestamp,
});
export type Me = z.output<typeof Me>;

const SessionView = z.object({
  id: z.string(),
  /** The one that this request was made with. */
  isCurrent: z.boolean(),
  ipAddress: z.string().nullable(),
  userAgent: z.string().nullable(),
  createdAt: Timestamp,
  /** When it was last refreshed. */
  lastUsedAt: Timestamp,
  expiresAt: Timestamp,
});
export type SessionView = z.output<typeof SessionView>;

export const SignedInResponse = success(SignedIn);
export const MeResponse = success(Me);
export const SessionsResponse = successPage(SessionView);
