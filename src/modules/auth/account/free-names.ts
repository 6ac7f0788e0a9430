import type { Database } from '../../../database/client.js';
import { isUniqueViolation } from '../../../lib/database-errors.js';
import { AppError } from '../../../lib/errors.js';

interface Keys {
  emailKey?: string;
  usernameKey?: string;
}

/** Throws `auth.email_taken` or `auth.username_taken` when it belongs to somebody else. */
export async function requireFree(
  prisma: Database['prisma'],
  { emailKey, usernameKey }: Keys,
  exceptUserId?: string,
): Promise<void> {
  const taken = await prisma.user.findFirst({
    where: {
      OR: [
        ...(emailKey === undefined ? [] : [{ emailKey }]),
        ...(usernameKey === undefined ? [] : [{ usernameKey }]),
      ],
      ...(exceptUserId !== undefined && { id: { not: exceptUserId } }),
    },
    orderBy: { createdAt: 'asc' },
    select: { emailKey: true },
  });
  if (taken) throw new AppError(taken.emailKey === emailKey ? 'auth.email_taken' : 'auth.username_taken');
}

/** What an insert or update failed of when somebody was quicker. Always throws. */
export function takenError(error: unknown): never {
  if (isUniqueViolation(error, 'User_emailKey_key')) throw new AppError('auth.email_taken');
  if (isUniqueViolation(error, 'User_usernameKey_key')) throw new AppError('auth.username_taken');
  throw error;
}
