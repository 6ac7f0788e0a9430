import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import type { UserActor } from '../../lib/actor.js';
import { isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import type { Passwords } from '../../lib/passwords.js';
import { ACCESS_TOKEN_SECONDS, createAccessTokens } from './access-tokens.js';
import { createAuthenticator } from './authenticate.js';
import type { LoginBody, Me, RegisterBody, SignedIn } from './schemas.js';
import { type ClientInfo, createSessions } from './sessions.js';

/** The role of everybody who registers. */
const REGISTERED_ROLE = 'User';

const USER = {
  id: true,
  email: true,
  username: true,
  roles: { select: { role: { select: { permissions: true } } } },
} as const;

interface LoadedUser {
  id: string;
  email: string;
  username: string;
  roles: { role: { permissions: string[] } }[];
}

export interface AuthOptions {
  database: Database;
  bus: Bus;
  passwords: Passwords;
  jwtSecret: string;
  registration: 'open' | 'closed';
}

export interface Auth {
  /** Who holds this access token, with the rights he has now. Throws `auth.invalid_token`. */
  authenticate(token: string): Promise<UserActor>;
  register(input: RegisterBody, client: ClientInfo): Promise<SignedIn>;
  /** An unknown e-mail and a wrong password cannot be told apart, not even by the time it takes. */
  login(input: LoginBody, client: ClientInfo): Promise<SignedIn>;
  refresh(refreshToken: string): Promise<SignedIn>;
  /** Ends the actor's session: every token and socket of it. */
  logout(actor: UserActor): Promise<void>;
  me(actor: UserActor): Promise<Me>;
}

export function createAuth({ database, bus, passwords, jwtSecret, registration }: AuthOptions): Auth {
  const { prisma, pool } = database;
  const accessTokens = createAccessTokens(jwtSecret);
  const sessions = createSessions({ database, bus });

  function signedIn(user: LoadedUser, session: { sessionId: string; refreshToken: string }): SignedIn {
    const { id: userId, email, username } = user;
    const permissions = [...new Set(user.roles.flatMap(({ role }) => role.permissions))];
    const token = accessTokens.sign({ userId, email, username, permissions, sessionId: session.sessionId });
    return {
      userId,
      email,
      username,
      token,
      refreshToken: session.refreshToken,
      expiresIn: ACCESS_TOKEN_SECONDS,
    };
  }

  /** Throws when the e-mail or the username belongs to somebody. */
  async function requireFree(emailKey: string, usernameKey: string): Promise<void> {
    const taken = await prisma.user.findFirst({
      where: { OR: [{ emailKey }, { usernameKey }] },
      orderBy: { createdAt: 'asc' },
      select: { emailKey: true },
    });
    if (taken) throw new AppError(taken.emailKey === emailKey ? 'auth.email_taken' : 'auth.username_taken');
  }

  return {
    authenticate: createAuthenticator({ pool, bus, accessTokens }),

    async register({ email, password, username }, client) {
      if (registration === 'closed') throw new AppError('auth.registration_closed');
      const keys = { emailKey: email.toLowerCase(), usernameKey: username.toLowerCase() };
      await requireFree(keys.emailKey, keys.usernameKey);
      const passwordHash = await passwords.hash(password);
      const { refreshToken, row } = sessions.draft(client);
      const role = await prisma.role.findUnique({ where: { name: REGISTERED_ROLE }, select: { id: true } });
      try {
        const user = await prisma.user.create({
          data: {
            email,
            username,
            ...keys,
            passwordHash,
            sessions: { create: row },
            ...(role && { roles: { create: { roleId: role.id } } }),
          },
          select: { ...USER, sessions: { select: { id: true } } },
        });
        return signedIn(user, { sessionId: user.sessions[0]?.id ?? '', refreshToken });
      } catch (error) {
        // Somebody was quicker between the look and the insert.
        if (isUniqueViolation(error, 'User_emailKey_key')) throw new AppError('auth.email_taken');
        if (isUniqueViolation(error, 'User_usernameKey_key')) throw new AppError('auth.username_taken');
        throw error;
      }
    },

    async login({ email, password }, client) {
      const user = await prisma.user.findUnique({
        where: { emailKey: email.toLowerCase() },
        select: { ...USER, passwordHash: true, disabledAt: true },
      });
      const matches = await passwords.verify(user?.passwordHash ?? null, password);
      if (!user || !matches || user.disabledAt) throw new AppError('auth.invalid_credentials');
      return signedIn(user, await sessions.open(user.id, client));
    },

    async refresh(refreshToken) {
      const { userId, ...session } = await sessions.rotate(refreshToken);
      const user = await prisma.user.findUnique({ where: { id: userId, disabledAt: null }, select: USER });
      if (!user) throw new AppError('auth.invalid_token');
      return signedIn(user, session);
    },

    logout: (actor) => sessions.revoke(actor.sessionId),

    async me(actor) {
      const user = await prisma.user.findUnique({
        where: { id: actor.userId },
        select: { id: true, email: true, username: true, createdAt: true },
      });
      if (!user) throw new AppError('auth.invalid_token');
      return user;
    },
  };
}
