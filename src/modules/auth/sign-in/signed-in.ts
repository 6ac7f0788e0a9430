import { ACCESS_TOKEN_SECONDS, type AccessTokens } from '../access-tokens.js';
import type { NewSession } from '../account/sessions.js';
import type { SignedIn } from '../schemas.js';

/** What has to be loaded of a user who signs in. */
export const SIGNED_IN_COLUMNS = {
  id: true,
  email: true,
  username: true,
  roles: { select: { role: { select: { permissions: true } } } },
} as const;

/** A user as that loads him. */
export interface LoadedUser {
  id: string;
  email: string;
  username: string;
  roles: { role: { permissions: string[] } }[];
}

export interface SignedInUser {
  id: string;
  email: string;
  username: string;
  /** What his roles give, each once. */
  permissions: string[];
}

export function toSignedInUser({ id, email, username, roles }: LoadedUser): SignedInUser {
  const permissions = [...new Set(roles.flatMap(({ role }) => role.permissions))];
  return { id, email, username, permissions };
}

/** What somebody is given who has signed in. */
export function signedInAnswer(
  accessTokens: AccessTokens,
  user: SignedInUser,
  { sessionId, refreshToken }: NewSession,
): SignedIn {
  const { id: userId, email, username, permissions } = user;
  const token = accessTokens.sign({ userId, email, username, permissions, sessionId });
  return { userId, email, username, token, refreshToken, expiresIn: ACCESS_TOKEN_SECONDS };
}
