import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { ServerParams } from '../../../lib/schemas.js';
import type { Servers } from '../service.js';
import { TransferResponse, TransferServerBody } from './transfer-schemas.js';

export const transferRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.post(
    '/:serverId/transfer',
    {
      config: { access: 'server.transfer' },
      schema: {
        tags: ['Servers'],
        summary: 'Move a server to another node',
        description:
          'The server has to be stopped, and the target online and with room for it. Its host ports stay the same where ' +
          'they are free there; an address of an IP pool is replaced by one of the pool of the same network. A server that ' +
          'has been installed cannot be moved by this version (501).',
        params: ServerParams,
        body: TransferServerBody,
        response: { 200: TransferResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      message: 'Server transferred successfully',
      server: await servers.transfer(actor, params.serverId, body.targetNodeId),
    }),
  );
};
