import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { EmptyBody, Success } from '../../lib/schemas.js';
import { LoginBody, MeResponse, RefreshBody, RegisterBody, SignedInResponse } from './schemas.js';
import type { Auth } from './service.js';
import type { ClientInfo } from './sessions.js';

const tags = ['Authentication'];

export const authRoutes: FastifyPluginAsyncZod<{ auth: Auth }> = async (app, { auth }) => {
  app.post(
    '/register',
    {
      config: { access: 'public' },
      schema: {
        tags,
        summary: 'Register an account',
        body: RegisterBody,
        response: { 200: SignedInResponse },
      },
    },
    async (request) => ({
      success: true as const,
      data: await auth.register(request.body, clientInfo(request)),
    }),
  );

  app.post(
    '/login',
    {
      config: { access: 'public' },
      schema: { tags, summary: 'Sign in', body: LoginBody, response: { 200: SignedInResponse } },
    },
    async (request) => ({
      success: true as const,
      data: await auth.login(request.body, clientInfo(request)),
    }),
  );

  app.post(
    '/refresh',
    {
      config: { access: 'public' },
      schema: {
        tags,
        summary: 'Exchange a refresh token',
        description: 'Each refresh token works once. The use of an old one ends the session.',
        body: RefreshBody,
        response: { 200: SignedInResponse },
      },
    },
    async (request) => ({ success: true as const, data: await auth.refresh(request.body.refreshToken) }),
  );

  app.post(
    '/logout',
    {
      config: { access: 'signed-in' },
      schema: { tags, summary: 'Sign out', body: EmptyBody, response: { 200: Success } },
    },
    async (request) => {
      await auth.logout(request.actor);
      return { success: true as const };
    },
  );

  app.get(
    '/me',
    {
      config: { access: 'signed-in' },
      schema: { tags, summary: 'Get the current user', response: { 200: MeResponse } },
    },
    async (request) => ({ success: true as const, data: await auth.me(request.actor) }),
  );
};

function clientInfo({ ip, headers }: FastifyRequest): ClientInfo {
  return { ipAddress: ip, userAgent: headers['user-agent'] };
}
