import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { EmptyBody, PageQuery, pageBody, Success } from '../../../lib/schemas.js';
import type { Auth } from '../service.js';
import { EndedResponse, SessionParams, SessionsResponse } from './session-schemas.js';

const tags = ['Account'];
const config = { access: 'session' } as const;

export const sessionRoutes: FastifyPluginAsyncZod<{ sessions: Auth['sessions'] }> = async (
  app,
  { sessions },
) => {
  app.get(
    '/sessions',
    {
      config,
      schema: {
        tags,
        summary: 'List where you are signed in',
        querystring: PageQuery,
        response: { 200: SessionsResponse },
      },
    },
    async ({ actor, query }) => pageBody(await sessions.list(actor, query), query),
  );

  app.delete(
    '/sessions',
    {
      config,
      schema: {
        tags,
        summary: 'Sign out everywhere else',
        body: EmptyBody,
        response: { 200: EndedResponse },
      },
    },
    async ({ actor }) => ({
      success: true as const,
      data: { ended: await sessions.revokeOthers(actor) },
    }),
  );

  app.delete(
    '/sessions/:sessionId',
    {
      config,
      schema: {
        tags,
        summary: 'End a session',
        params: SessionParams,
        body: EmptyBody,
        response: { 200: Success },
      },
    },
    async ({ actor, params }) => {
      await sessions.revoke(actor, params.sessionId, 'session.revoke');
      return { success: true as const };
    },
  );
};
