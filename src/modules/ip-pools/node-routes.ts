import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { NodeParams } from '../../lib/schemas.js';
import { IpAvailabilityQuery, IpAvailabilityResponse } from './schemas.js';
import type { IpPools } from './service.js';

export const ipAvailabilityRoutes: FastifyPluginAsyncZod<{ ipPools: IpPools }> = async (app, { ipPools }) => {
  app.get(
    '/:nodeId/ip-availability',
    {
      config: { access: 'server.create' },
      schema: {
        tags: ['IP pools'],
        summary: 'Which addresses a new server on a node could have',
        description: 'One entry for each IP pool of the node.',
        params: NodeParams,
        querystring: IpAvailabilityQuery,
        response: { 200: IpAvailabilityResponse },
      },
    },
    async ({ actor, params, query }) => ({
      success: true as const,
      data: await ipPools.availability(actor, params.nodeId, query),
    }),
  );
};
