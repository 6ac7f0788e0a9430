import type { FastifyInstance, FastifyRequest } from 'fastify';
import { hasPermission, type UserActor } from '../lib/actor.js';
import { AppError } from '../lib/errors.js';
import type { Permission } from '../lib/permissions.js';
import type { Auth } from '../modules/auth/service.js';

/** Who may call a route at all. The services decide about the rest. */
export type Access = 'public' | 'signed-in' | Permission;

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
  interface FastifyRequest {
    /** Who asks. Set on every route that is not public. */
    actor: UserActor;
  }
}

/** Rights that only a role can give, so that a door can refuse without looking at a server. */
const ROLE_ONLY: ReadonlySet<Access> = new Set<Access>(['admin.read', 'admin.write', 'server.create']);

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
    const actor = await auth.authenticate(bearerToken(request));
    if (ROLE_ONLY.has(access) && !hasPermission(actor, access as Permission)) {
      throw new AppError('permission.denied');
    }
    request.actor = actor;
  });
}

function bearerToken({ headers }: FastifyRequest): string {
  const { authorization } = headers;
  if (authorization === undefined) throw new AppError('auth.required');
  const [, token] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
  if (token === undefined) throw new AppError('auth.required');
  return token;
}
