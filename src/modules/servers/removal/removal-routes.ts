import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { ServerParams } from '../../../lib/schemas.js';
import { MessageResponse } from '../schemas.js';
import type { Servers } from '../service.js';

const DeleteServerQuery = z.strictObject({
  force: z
    .enum(['true', 'false'])
    .optional()
    .describe('Whatever its state and its node. Takes a role that may delete every server.'),
});

const MESSAGES = {
  deleted: 'Server deleted successfully',
  requested: 'The node is offline: the server is deleted as soon as it is back',
  passed_on: 'The panel that the node is connected to is deleting the server',
};

export const removalRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.delete(
    '/:serverId',
    {
      config: { access: 'server.delete' },
      schema: {
        tags: ['Servers'],
        summary: 'Delete a server and its files',
        description: 'While its node is offline the deletion waits for it, unless it is forced.',
        params: ServerParams,
        querystring: DeleteServerQuery,
        response: { 200: MessageResponse },
      },
    },
    async ({ actor, params, query }) => {
      const outcome = await servers.delete(actor, params.serverId, { force: query.force === 'true' });
      return { success: true as const, message: MESSAGES[outcome] };
    },
  );
};
