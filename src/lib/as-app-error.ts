import { isDatabaseUnavailable } from './database-errors.js';
import { AppError } from './errors.js';

const UNAVAILABLE_RETRY_SECONDS = 5;

/** What others are told of anything that was thrown: of what nobody expected, only that it happened. */
export function asAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (!isDatabaseUnavailable(error)) return new AppError('internal.error', undefined, { cause: error });
  return new AppError('database.unavailable', undefined, {
    cause: error,
    retryAfterSeconds: UNAVAILABLE_RETRY_SECONDS,
  });
}
