import { createSigner, createVerifier } from 'fast-jwt';
import { z } from 'zod';
import { AppError } from '../../lib/errors.js';

export const ACCESS_TOKEN_SECONDS = 24 * 60 * 60;
const ISSUER = 'catalyst';
const TOKEN_MAX_LENGTH = 16_384;

/** PostgreSQL, where it is looked up, takes no NUL. */
const Id = z.string().regex(/^[^\0]+$/);

const Claims = z.object({
  userId: Id,
  sid: Id,
  typ: z.literal('access'),
  exp: z.number(),
});

export interface AccessTokenSubject {
  userId: string;
  email: string;
  username: string;
  sessionId: string;
  /** For the client's convenience: the panel never reads them back. */
  permissions: string[];
}

export interface VerifiedToken {
  userId: string;
  sessionId: string;
  expiresAtMs: number;
}

export type AccessTokens = ReturnType<typeof createAccessTokens>;

/** Signs and verifies the documented JWT: HS256 and nothing else, never without an expiry. */
export function createAccessTokens(jwtSecret: string) {
  const sign = createSigner({
    key: jwtSecret,
    algorithm: 'HS256',
    iss: ISSUER,
    expiresIn: ACCESS_TOKEN_SECONDS * 1000,
  });
  const verify = createVerifier({
    key: jwtSecret,
    algorithms: ['HS256'],
    allowedIss: ISSUER,
    requiredClaims: ['exp', 'iat', 'iss'],
    cache: false,
  });
  return {
    sign({ userId, email, username, sessionId, permissions }: AccessTokenSubject): string {
      return sign({ userId, email, username, permissions, sid: sessionId, typ: 'access' });
    },
    /** Throws `auth.invalid_token`. */
    verify(token: string): VerifiedToken {
      if (token.length > TOKEN_MAX_LENGTH) throw new AppError('auth.invalid_token');
      try {
        const { userId, sid, exp } = Claims.parse(verify(token));
        return { userId, sessionId: sid, expiresAtMs: exp * 1000 };
      } catch (cause) {
        throw new AppError('auth.invalid_token', undefined, { cause });
      }
    },
  };
}
