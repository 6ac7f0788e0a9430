import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { NodeParams } from '../../lib/schemas.js';
import { HistoryQuery, NodeHistoryResponse, NodeLiveResponse } from './schemas.js';
import type { Metrics } from './service.js';

const tags = ['Metrics'];

export const nodeMetricsRoutes: FastifyPluginAsyncZod<{ metrics: Metrics }> = async (app, { metrics }) => {
  app.get(
    '/:nodeId/stats',
    {
      config: { access: 'admin.read' },
      schema: {
        tags,
        summary: 'How a node is now',
        description:
          'The last report of its agent and how old it is, what of the node is given away, and its servers.',
        params: NodeParams,
        response: { 200: NodeLiveResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await metrics.nodeLive(actor, params.nodeId),
    }),
  );

  app.get(
    '/:nodeId/metrics',
    {
      config: { access: 'admin.read' },
      schema: {
        tags,
        summary: 'How a node was',
        description: 'From `from` to `to` (default: the last hour) in at most `points` points.',
        params: NodeParams,
        querystring: HistoryQuery,
        response: { 200: NodeHistoryResponse },
      },
    },
    async ({ actor, params, query }) => ({
      success: true as const,
      data: await metrics.nodeHistory(actor, params.nodeId, query),
    }),
  );
};
