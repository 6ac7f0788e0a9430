import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import type { Origin, UserActor } from '../../lib/actor.js';
import type { Log } from '../../lib/log.js';
import type { Passwords } from '../../lib/passwords.js';
import type { Secrets } from '../../lib/secrets.js';
import { createAccessTokens } from './access-tokens.js';
import { createProfile } from './account/profile.js';
import { createSessions, type Sessions } from './account/sessions.js';
import { createAuthenticator } from './authenticate.js';
import { createApiKeyTokens } from './keys/api-key-tokens.js';
import { createApiKeyUse } from './keys/api-key-use.js';
import { createApiKeys } from './keys/api-keys.js';
import { createSshKeys } from './keys/ssh-keys.js';
import type { LoginBody, RegisterBody, SignedIn } from './schemas.js';
import { createAttempts } from './sign-in/attempts.js';
import { createPasswordCheck } from './sign-in/password-check.js';
import { createRefresh } from './sign-in/refresh.js';
import { createRegistration } from './sign-in/registration.js';
import { createSecondStep } from './sign-in/second-step.js';
import { createSignIn } from './sign-in/sign-in.js';
import { signedInAnswer } from './sign-in/signed-in.js';
import { createTwoFactor } from './two-factor/two-factor.js';
import { createTwoFactorCodes, type GivenCode } from './two-factor/two-factor-codes.js';

export interface AuthOptions {
  database: Database;
  bus: Bus;
  passwords: Passwords;
  secrets: Secrets;
  jwtSecret: string;
  /** What the keys are derived from that API keys and e-mails nobody has are marked with. */
  secretsKey: string;
  registration: 'open' | 'closed';
  log: Log;
}

export interface Auth {
  /** Who holds this access token or API key, with the rights he has now. Throws `auth.invalid_token`. */
  authenticate(token: string, origin: Origin): Promise<UserActor>;
  register(input: RegisterBody, origin: Origin): Promise<SignedIn>;
  /**
   * An unknown e-mail and a wrong password cannot be told apart, not even by the time it takes. Throws
   * `auth.two_factor_required` with a ticket for the second step where the account has one.
   */
  login(input: LoginBody, origin: Origin): Promise<SignedIn>;
  loginSecondStep(ticket: string, given: GivenCode, origin: Origin): Promise<SignedIn>;
  refresh(refreshToken: string, origin: Origin): Promise<SignedIn>;
  sessions: Sessions;
  profile: ReturnType<typeof createProfile>;
  apiKeys: ReturnType<typeof createApiKeys>;
  twoFactor: ReturnType<typeof createTwoFactor>;
  sshKeys: ReturnType<typeof createSshKeys>;
  /** Waits for what is stored in the background. */
  close(): Promise<void>;
}

export function createAuth(options: AuthOptions): Auth {
  const { database, bus, passwords, log } = options;
  const { pool } = database;
  const accessTokens = createAccessTokens(options.jwtSecret);
  const apiKeyTokens = createApiKeyTokens(options.secretsKey);
  const apiKeyUse = createApiKeyUse({ pool, log });
  const sessions = createSessions({ database, bus });
  const attempts = createAttempts({ database, keyMaterial: options.secretsKey });
  const codes = createTwoFactorCodes(options.secrets);
  const checkPassword = createPasswordCheck({ database, passwords, attempts });
  const rotate = createRefresh({ database, sessions });

  return {
    authenticate: createAuthenticator({ pool, bus, accessTokens, apiKeyTokens, apiKeyUse }),
    register: createRegistration({ ...options, accessTokens, sessions }),
    login: createSignIn({ database, passwords, accessTokens, sessions, attempts }),
    loginSecondStep: createSecondStep({ database, accessTokens, sessions, attempts, codes }),
    async refresh(refreshToken, origin) {
      const { user, ...session } = await rotate(refreshToken, origin);
      return signedInAnswer(accessTokens, user, session);
    },
    sessions,
    profile: createProfile({ database, bus, passwords, sessions, checkPassword }),
    apiKeys: createApiKeys({ database, bus, tokens: apiKeyTokens }),
    twoFactor: createTwoFactor({ database, checkPassword, attempts, codes }),
    sshKeys: createSshKeys({ database }),
    close: () => apiKeyUse.settled(),
  };
}
