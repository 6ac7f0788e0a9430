import rateLimit, { type RateLimitOptions } from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../config.js';
import { hasPermission, type UserActor } from '../lib/actor.js';
import { AppError } from '../lib/errors.js';
import type { Auth } from '../modules/auth/service.js';
import { identify } from './auth.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Which budget requests of this route are taken from; left out, the general one. */
    limit?: 'authentication' | 'health';
  }
}

const WINDOW_MS = 60_000;
/** Of each kind so many users or addresses are counted at once; then the one not heard of for longest starts anew. */
const COUNTED_MAX = 20_000;
/** A customer has a network of this size, and could send each request from another address of it. */
const IPV6_PREFIX_LENGTH = 64;

type Limiter = ReturnType<FastifyInstance['createRateLimit']>;
type Count = Extract<Awaited<ReturnType<Limiter>>, { isAllowed: false }>;

export interface LimitRequestsOptions {
  config: Pick<
    Config,
    'RATE_LIMIT_PER_MINUTE' | 'AUTH_RATE_LIMIT_PER_MINUTE' | 'HEALTH_RATE_LIMIT_PER_MINUTE'
  >;
  auth: Pick<Auth, 'authenticate'>;
}

/**
 * Counts every request that comes to a route registered from now on or to none: for the user who sends it, else for
 * its address. Each panel counts for itself. Over the limit it throws `rate_limit.exceeded`.
 */
export async function limitRequests(
  app: FastifyInstance,
  { config, auth }: LimitRequestsOptions,
): Promise<void> {
  await app.register(rateLimit, { global: false });
  const byAddress = {
    general: createLimiter(app, config.RATE_LIMIT_PER_MINUTE),
    authentication: createLimiter(app, config.AUTH_RATE_LIMIT_PER_MINUTE),
    health: createLimiter(app, config.HEALTH_RATE_LIMIT_PER_MINUTE),
  };
  const byUser = createLimiter(
    app,
    config.RATE_LIMIT_PER_MINUTE,
    async (request) => (await identify(auth, request)).userId,
  );

  async function chooseLimiter(request: FastifyRequest): Promise<Limiter | null> {
    const { limit } = request.routeOptions.config;
    if (limit) return byAddress[limit];
    const actor = byUser && (await findActor(auth, request));
    if (!actor) return byAddress.general;
    return hasPermission(actor, 'rate-limit.bypass') ? null : byUser;
  }

  app.addHook('onRequest', async (request, reply) => {
    const limiter = await chooseLimiter(request);
    const count = await limiter?.(request);
    if (count && !count.isAllowed) applyCount(count, reply);
  });
}

/** Null where nothing is limited. */
function createLimiter(
  app: FastifyInstance,
  max: number,
  keyGenerator?: (request: FastifyRequest) => Promise<string>,
): Limiter | null {
  if (max === 0) return null;
  // The type of the call knows less than the call: `cache` is among what it passes on to the counter.
  const options: RateLimitOptions = {
    max,
    timeWindow: WINDOW_MS,
    cache: COUNTED_MAX,
    ipv6Subnet: IPV6_PREFIX_LENGTH,
    ...(keyGenerator && { keyGenerator }),
  };
  return app.createRateLimit(options);
}

/** Null for nobody: whoever needs to know why asks again and is told the same. */
async function findActor(
  auth: LimitRequestsOptions['auth'],
  request: FastifyRequest,
): Promise<UserActor | null> {
  if (request.headers.authorization === undefined) return null;
  return identify(auth, request).catch(() => null);
}

function applyCount({ max, remaining, ttl, ttlInSeconds, isExceeded }: Count, reply: FastifyReply): void {
  reply.header('x-ratelimit-limit', max);
  reply.header('x-ratelimit-remaining', remaining);
  reply.header('x-ratelimit-reset', Math.ceil((Date.now() + ttl) / 1000));
  if (!isExceeded) return;
  throw new AppError('rate_limit.exceeded', `Rate limit exceeded. Try again in ${ttlInSeconds} seconds.`, {
    retryAfterSeconds: ttlInSeconds,
  });
}
