import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { EmptyBody, PageQuery, pageBody, Success } from '../../../lib/schemas.js';
import type { Auth } from '../service.js';
import { ApiKeyParams, ApiKeysResponse, CreateApiKeyBody, CreatedApiKeyResponse } from './api-key-schemas.js';

const tags = ['Account'];
const config = { access: 'session' } as const;

export const apiKeyRoutes: FastifyPluginAsyncZod<{ apiKeys: Auth['apiKeys'] }> = async (app, { apiKeys }) => {
  app.get(
    '/api-keys',
    {
      config,
      schema: {
        tags,
        summary: 'List your API keys',
        querystring: PageQuery,
        response: { 200: ApiKeysResponse },
      },
    },
    async ({ actor, query }) => pageBody(await apiKeys.list(actor, query), query),
  );

  app.post(
    '/api-keys',
    {
      config,
      schema: {
        tags,
        summary: 'Create an API key',
        description:
          'It is accepted wherever an access token is, except for managing the account. It is shown this once.',
        body: CreateApiKeyBody,
        response: { 201: CreatedApiKeyResponse },
      },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await apiKeys.create(actor, body) };
    },
  );

  app.delete(
    '/api-keys/:apiKeyId',
    {
      config,
      schema: {
        tags,
        summary: 'Revoke an API key',
        params: ApiKeyParams,
        body: EmptyBody,
        response: { 200: Success },
      },
    },
    async ({ actor, params }) => {
      await apiKeys.revoke(actor, params.apiKeyId);
      return { success: true as const };
    },
  );
};
