import type { Database } from '../../../database/client.js';
import { emailKeyOf, rethrowTaken, usernameKeyOf } from '../../../lib/account-fields.js';
import type { Origin } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { REGISTERED_ROLE } from '../../../lib/built-in-roles.js';
import { AppError } from '../../../lib/errors.js';
import type { Passwords } from '../../../lib/passwords.js';
import type { AccessTokens } from '../access-tokens.js';
import { requireFree } from '../account/free-names.js';
import type { Sessions } from '../account/sessions.js';
import type { RegisterBody, SignedIn } from '../schemas.js';
import { SIGNED_IN_COLUMNS, signedInAnswer, toSignedInUser } from './signed-in.js';

export interface RegistrationOptions {
  database: Database;
  passwords: Passwords;
  accessTokens: AccessTokens;
  sessions: Sessions;
  registration: 'open' | 'closed';
}

export function createRegistration(options: RegistrationOptions) {
  const { database, passwords, accessTokens, sessions, registration } = options;
  const { prisma } = database;

  /** Throws `auth.registration_closed`, `auth.email_taken`, `auth.username_taken`. */
  return async function register(
    { email, password, username }: RegisterBody,
    origin: Origin,
  ): Promise<SignedIn> {
    if (registration === 'closed') throw new AppError('auth.registration_closed');
    const keys = { emailKey: emailKeyOf(email), usernameKey: usernameKeyOf(username) };
    await requireFree(prisma, keys);
    const passwordHash = await passwords.hash(password);
    const role = await prisma.role.findUnique({ where: { name: REGISTERED_ROLE }, select: { id: true } });
    const { user, session } = await prisma
      .$transaction(async (transaction) => {
        const user = await transaction.user.create({
          data: {
            email,
            username,
            ...keys,
            passwordHash,
            ...(role && { roles: { create: { roleId: role.id } } }),
          },
          select: SIGNED_IN_COLUMNS,
        });
        const session = await sessions.open(transaction, user.id, origin);
        await recordAudit(
          transaction,
          { kind: 'subject', userId: user.id, username, origin },
          { action: 'auth.register', resourceType: 'user', resourceId: user.id, metadata: { email } },
        );
        return { user: toSignedInUser(user), session };
      })
      // Somebody was quicker between the look and the insert.
      .catch(rethrowTaken);
    return signedInAnswer(accessTokens, user, session);
  };
}
