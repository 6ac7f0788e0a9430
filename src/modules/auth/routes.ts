import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { requestOrigin } from '../../http/auth.js';
import { ErrorBody } from '../../http/errors.js';
import { EmptyBody, Success } from '../../lib/schemas.js';
import { accountRoutes } from './account/account-routes.js';
import { sessionRoutes } from './account/session-routes.js';
import { requireSession } from './account/sessions.js';
import { apiKeyRoutes } from './keys/api-key-routes.js';
import { sshKeyRoutes } from './keys/ssh-key-routes.js';
import { LoginBody, RefreshBody, RegisterBody, SignedInResponse } from './schemas.js';
import type { Auth } from './service.js';
import { twoFactorRoutes } from './two-factor/two-factor-routes.js';
import { givenCode, SecondStepBody } from './two-factor/two-factor-schemas.js';

const tags = ['Authentication'];
const config = { access: 'public', limit: 'authentication' } as const;

export const authRoutes: FastifyPluginAsyncZod<{ auth: Auth }> = async (app, { auth }) => {
  await app.register(accountRoutes, { profile: auth.profile });
  await app.register(sessionRoutes, { sessions: auth.sessions });
  await app.register(apiKeyRoutes, { apiKeys: auth.apiKeys });
  await app.register(twoFactorRoutes, { twoFactor: auth.twoFactor });
  await app.register(sshKeyRoutes, { sshKeys: auth.sshKeys });

  app.post(
    '/register',
    {
      config,
      schema: {
        tags,
        summary: 'Register an account',
        body: RegisterBody,
        response: { 200: SignedInResponse },
      },
    },
    async (request) => ({
      success: true as const,
      data: await auth.register(request.body, requestOrigin(request)),
    }),
  );

  app.post(
    '/login',
    {
      config,
      schema: {
        tags,
        summary: 'Sign in',
        description:
          'With two-factor authentication the answer is 401 `auth.two_factor_required` with a `ticket` for the second step.',
        body: LoginBody,
        response: { 200: SignedInResponse, 401: ErrorBody },
      },
    },
    async (request) => ({
      success: true as const,
      data: await auth.login(request.body, requestOrigin(request)),
    }),
  );

  app.post(
    '/two-factor',
    {
      config,
      schema: {
        tags,
        summary: 'Sign in, second step',
        description:
          'Takes the ticket of the first step and a code of the authenticator app, or a recovery code. Each works once.',
        body: SecondStepBody,
        response: { 200: SignedInResponse, 401: ErrorBody },
      },
    },
    async (request) => ({
      success: true as const,
      data: await auth.loginSecondStep(request.body.ticket, givenCode(request.body), requestOrigin(request)),
    }),
  );

  app.post(
    '/refresh',
    {
      config,
      schema: {
        tags,
        summary: 'Exchange a refresh token',
        description: 'Each refresh token works once. The use of an old one ends the session.',
        body: RefreshBody,
        response: { 200: SignedInResponse, 401: ErrorBody },
      },
    },
    async (request) => ({
      success: true as const,
      data: await auth.refresh(request.body.refreshToken, requestOrigin(request)),
    }),
  );

  app.post(
    '/logout',
    {
      config: { access: 'session' },
      schema: { tags, summary: 'Sign out', body: EmptyBody, response: { 200: Success } },
    },
    async ({ actor }) => {
      await auth.sessions.revoke(actor, requireSession(actor), 'auth.logout');
      return { success: true as const };
    },
  );
};
