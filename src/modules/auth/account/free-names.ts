import type { Database } from '../../../database/client.js';
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
