import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { ServerParams } from '../../lib/schemas.js';
import { HistoryQuery, ServerHistoryResponse, ServerLiveResponse } from './schemas.js';
import type { Metrics } from './service.js';

const tags = ['Metrics'];

export const serverMetricsRoutes: FastifyPluginAsyncZod<{ metrics: Metrics }> = async (app, { metrics }) => {
  app.get(
    '/:serverId/stats',
    {
      config: { access: 'server.read' },
      schema: {
        tags,
        summary: 'What a server uses now',
        params: ServerParams,
        response: { 200: ServerLiveResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await metrics.serverLive(actor, params.serverId),
    }),
  );

  app.get(
    '/:serverId/metrics',
    {
      config: { access: 'server.read' },
      schema: {
        tags,
        summary: 'What a server used',
        description: 'From `from` to `to` (default: the last hour) in at most `points` points.',
        params: ServerParams,
        querystring: HistoryQuery,
        response: { 200: ServerHistoryResponse },
      },
    },
    async ({ actor, params, query }) => ({
      success: true as const,
      data: await metrics.serverHistory(actor, params.serverId, query),
    }),
  );
};
