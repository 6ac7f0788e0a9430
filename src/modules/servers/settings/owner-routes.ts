import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { Id, ServerParams } from '../../../lib/schemas.js';
import { ServerResponse } from '../schemas.js';
import type { Servers } from '../service.js';

const OwnerBody = z.strictObject({ ownerId: Id });

export const ownerRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.put(
    '/:serverId/owner',
    {
      config: { access: 'admin.write' },
      schema: {
        tags: ['Servers'],
        summary: 'Give a server to another user',
        description: 'Whoever owned it before loses everything on it at once.',
        params: ServerParams,
        body: OwnerBody,
        response: { 200: ServerResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await servers.changeOwner(actor, params.serverId, body.ownerId),
    }),
  );
};
