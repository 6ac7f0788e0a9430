import { z } from 'zod';
import { isUniqueViolation } from './database-errors.js';
import { AppError } from './errors.js';

const EMAIL_MAX_LENGTH = 254;
const PASSWORD_MIN_LENGTH = 8;
const PASSWORD_MAX_LENGTH = 128;

/** As it is shown and mailed to; two that differ in case only are the same account's. */
export const Email = z
  .string()
  .trim()
  .normalize('NFC')
  .max(EMAIL_MAX_LENGTH)
  .pipe(z.email('Invalid email format'));

/** One that an account is looked up by. */
export const GivenEmail = z.string().trim().min(1).max(EMAIL_MAX_LENGTH);

export const Username = z
  .string()
  .min(3)
  .max(32)
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/,
    'may have letters, digits, "_", "." and "-", and starts with a letter, digit or "_"',
  );

/** One that is being chosen. */
export const NewPassword = z
  .string()
  .min(PASSWORD_MIN_LENGTH, 'Password too weak (min 8 characters)')
  .max(PASSWORD_MAX_LENGTH);

/** One that is only compared. No minimum: what was never a password is simply a wrong one. */
export const GivenPassword = z.string().min(1).max(PASSWORD_MAX_LENGTH);

/** What uniqueness and sign-in compare. */
export function emailKeyOf(email: string): string {
  return email.toLowerCase();
}

export function usernameKeyOf(username: string): string {
  return username.toLowerCase();
}

/** For what an insert or update of an account failed of: `auth.email_taken`, `auth.username_taken`, or the error itself. */
export function rethrowTaken(error: unknown): never {
  if (isUniqueViolation(error, 'User_emailKey_key')) throw new AppError('auth.email_taken');
  if (isUniqueViolation(error, 'User_usernameKey_key')) throw new AppError('auth.username_taken');
  throw error;
}
