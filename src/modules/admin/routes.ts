import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { pageBody } from '../../lib/schemas.js';
import { AllServersResponse, HealthResponse, ListAllServersQuery, StatisticsResponse } from './schemas.js';
import type { Administration } from './service.js';

const tags = ['Administration'];

export const adminRoutes: FastifyPluginAsyncZod<{ administration: Administration }> = async (
  app,
  { administration },
) => {
  app.get(
    '/stats',
    {
      config: { access: 'admin.read' },
      schema: { tags, summary: 'The installation in figures', response: { 200: StatisticsResponse } },
    },
    async ({ actor }) => ({ success: true as const, data: await administration.statistics(actor) }),
  );

  app.get(
    '/servers',
    {
      config: { access: 'admin.read' },
      schema: {
        tags,
        summary: 'Everybody’s servers, oldest first',
        querystring: ListAllServersQuery,
        response: { 200: AllServersResponse },
      },
    },
    async ({ actor, query }) => pageBody(await administration.servers(actor, query), query),
  );

  app.get(
    '/health',
    {
      config: { access: 'admin.read' },
      schema: {
        tags,
        summary: 'Whether the panel and its nodes are well',
        description: 'Each field is asked for at that moment.',
        response: { 200: HealthResponse },
      },
    },
    async ({ actor }) => ({ success: true as const, data: await administration.health(actor) }),
  );
};
