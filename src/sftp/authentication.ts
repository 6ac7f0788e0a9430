import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { AuthContext, AuthenticationType } from 'ssh2';
import { credentialId, type Origin, type UserActor } from '../lib/actor.js';
import { asAppError } from '../lib/as-app-error.js';
import { AppError } from '../lib/errors.js';
import type { Log } from '../lib/log.js';
import type { Auth } from '../modules/auth/service.js';
import type { ServerAccess } from '../modules/servers/access.js';
import { networkOf } from './admission.js';
import { type Caller, createCaller } from './caller.js';
import { expiryOf } from './expiry.js';
import { isSignatureRight, loadKeyHolder, noteKeyUse } from './key-holder.js';
import type { LoginAudit } from './login-audit.js';
import type { LoginThrottle } from './login-throttle.js';

/** As many as OpenSSH's server has. Keys that a client offers and nobody has count, too. */
const TRIES_MAX = 6;
/** With offers of keys that would do, and the question how one may sign in: each asks the database. */
const REQUESTS_MAX = 20;
/** What was wrong cannot be told from how long it took to find out. */
const REFUSAL_MIN_MS = 50;
const METHODS: AuthenticationType[] = ['publickey', 'password'];
const SERVER_ID = /^[A-Za-z0-9_-]{1,64}$/;
const TOKEN_MAX_LENGTH = 8192;

const HAS_SECOND_FACTOR = `SELECT FROM "TwoFactor" WHERE "userId" = $1 AND "confirmedAt" IS NOT NULL`;

/** What only somebody is told who has shown who he is, and of a server that he may know of. */
const TOLD: ReadonlySet<string> = new Set([
  'auth.two_factor_required',
  'permission.denied',
  'server.suspended',
  'server.being_deleted',
  'server.busy',
  'gateway.too_many_connections',
  'database.unavailable',
]);

export interface AuthenticationOptions {
  auth: Auth;
  access: ServerAccess;
  pool: Pool;
  throttle: LoginThrottle;
  audit: LoginAudit;
  log: Log;
}

export interface AuthenticatorEvents {
  origin: Origin;
  /** Before the client is told. What it throws refuses him. */
  onSignedIn(caller: Caller): void;
  /** A sentence for who showed who he is and is refused nevertheless. */
  onRefused(reason: string): void;
  onTooMany(): void;
}

export interface Authenticator {
  /** Answers the client. */
  attempt(context: AuthContext): Promise<void>;
}

interface Identity {
  identify(): Promise<UserActor>;
  expiresAtMs: number;
}

/** Who is on one connection: the user name is a server, the password or key somebody's who may read its files. */
export function createAuthenticator(
  options: AuthenticationOptions,
  { origin, onSignedIn, onRefused, onTooMany }: AuthenticatorEvents,
): Authenticator {
  const { auth, access, pool, throttle, audit, log } = options;
  const network = networkOf(origin.ipAddress);
  let failures = 0;
  let requests = 0;

  async function withToken(token: string): Promise<UserActor> {
    if (typeof token !== 'string' || token.length > TOKEN_MAX_LENGTH)
      throw new AppError('auth.invalid_token');
    const actor = await auth.authenticate(token, origin);
    if (actor.credential.kind === 'session') await requireNoSecondFactor(actor);
    return actor;
  }

  /** What a browser keeps is not enough where the owner asked for more: a key is made for this, and can be revoked. */
  async function requireNoSecondFactor({ userId }: UserActor): Promise<void> {
    const values = [userId];
    const { rowCount } = await pool.query({ name: 'sftp-second-factor', text: HAS_SECOND_FACTOR, values });
    if (rowCount) {
      throw new AppError(
        'auth.two_factor_required',
        'This account has two-factor authentication: sign in with an SSH key or an API key.',
      );
    }
  }

  async function enter(context: AuthContext): Promise<void> {
    const serverId = context.username;
    const { identify, expiresAtMs } = identityOf(context);
    const actor = await identify();
    // Only now, since anybody can make a key that takes long. An offer without a signature is only a question.
    if (context.method === 'publickey' && context.signature && !isSignatureRight(context))
      throw new AppError('auth.invalid_token');
    // Whether the key would do says nothing about the server.
    if (!isProof(context)) return;
    if (!SERVER_ID.test(serverId)) throw new AppError('server.not_found');
    const caller = createCaller({ access, actor, serverId, expiresAtMs, identify });
    await caller.authorise('file.read');
    if (actor.credential.kind === 'ssh-key') await noteKeyUse(pool, credentialId(actor));
    await audit.succeeded(actor, serverId);
    onSignedIn(caller);
    throttle.succeed(network);
  }

  function identityOf(context: AuthContext): Identity {
    if (context.method === 'password') {
      const { password } = context;
      return { identify: () => withToken(password), expiresAtMs: expiryOf(`${password}`) };
    }
    if (context.method !== 'publickey') throw new AppError('auth.required');
    const blob = Buffer.from(context.key.data);
    return { identify: () => loadKeyHolder(pool, blob, origin), expiresAtMs: Number.POSITIVE_INFINITY };
  }

  async function refuse(context: AuthContext, error: unknown): Promise<void> {
    const { code, message } = asAppError(error);
    if (code === 'internal.error') log.error({ err: error }, 'a login by SFTP failed');
    if (context.method !== 'none') failures += 1;
    if (isProof(context)) {
      await audit.failed(origin, context.username, `${code}: ${message}`);
      await throttle.fail(network);
      if (TOLD.has(code)) onRefused(message);
    }
  }

  return {
    async attempt(context) {
      requests += 1;
      const earliest = delay(REFUSAL_MIN_MS, undefined, { ref: false });
      try {
        await enter(context);
      } catch (error) {
        await refuse(context, error);
        await earliest;
        if (failures >= TRIES_MAX || requests >= REQUESTS_MAX) onTooMany();
        else context.reject(METHODS);
        return;
      }
      if (requests < REQUESTS_MAX) context.accept();
      else onTooMany();
    },
  };
}

/** Not the question whether a key would do, which `accept` answers without letting anybody in. */
function isProof(context: AuthContext): boolean {
  return context.method === 'password' || (context.method === 'publickey' && context.signature !== undefined);
}
