import type { FastifyInstance, FastifyRequest } from 'fastify';
import { hasPermission, type Origin, type UserActor } from '../lib/actor.js';
import { AppError } from '../lib/errors.js';
import { isRoleOnly, type Permission } from '../lib/permissions.js';
import type { Auth } from '../modules/auth/service.js';

/**
 * Who may call a route at all: everybody, whoever is signed in, whoever is signed in with a session (an API key
 * may not manage the account that it belongs to), or who has a right. The services decide about the rest.
 */
export type Access = 'public' | 'signed-in' | 'session' | Permission;

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
  interface FastifyRequest {
    /** Who asks. Set on every route that is not public. */
    actor: UserActor;
    /** What finding out who asks came to, or will come to. */
    identity?: Promise<UserActor>;
  }
}

/** Every route registered from now on declares its access, or the panel does not start. */
export function authenticateRequests(app: FastifyInstance, auth: Pick<Auth, 'authenticate'>): void {
  app.decorateRequest('actor');
  app.addHook('onRoute', ({ method, url, config }) => {
    if (config?.access === undefined) throw new Error(`${method} ${url} does not declare config.access.`);
  });
  app.addHook('onRequest', async (request) => {
    const { access } = request.routeOptions.config;
    // Undeclared are only what was registered before (documentation, preflight answers) and what does not exist.
    if (access === 'public' || access === undefined) return;
    const actor = await identify(auth, request);
    requireAccess(actor, access);
    request.actor = actor;
  });
}

/** Who sends a request, found out once however many ask. Throws `auth.required` and `auth.invalid_token`. */
export function identify(auth: Pick<Auth, 'authenticate'>, request: FastifyRequest): Promise<UserActor> {
  request.identity ??= (async () => auth.authenticate(bearerToken(request), requestOrigin(request)))();
  return request.identity;
}

/** Where a request came from. */
export function requestOrigin({ ip, headers }: FastifyRequest): Origin {
  return { ipAddress: ip, userAgent: headers['user-agent'] };
}

/** What can be refused without a look at what the request is about. */
function requireAccess(actor: UserActor, access: Exclude<Access, 'public'>): void {
  if (access === 'signed-in') return;
  if (access === 'session') {
    if (actor.credential.kind !== 'session') throw new AppError('auth.session_required');
  } else if (isRoleOnly(access) && !hasPermission(actor, access)) {
    throw new AppError('permission.denied');
  }
}

function bearerToken({ headers }: FastifyRequest): string {
  const { authorization } = headers;
  if (authorization === undefined) throw new AppError('auth.required');
  const [, token] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
  if (token === undefined) throw new AppError('auth.required');
  return token;
}
