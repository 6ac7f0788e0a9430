import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { ServerParams } from '../../../lib/schemas.js';
import { ServerResponse } from '../schemas.js';
import type { Servers } from '../service.js';
import { CloneServerBody } from './clone-schemas.js';

export const cloneRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.post(
    '/:serverId/clone',
    {
      config: { access: 'server.create' },
      schema: {
        tags: ['Servers'],
        summary: 'Create a server like another one',
        description:
          'With the same template, image, variables, resources, network mode and restart policy, and with ports of its ' +
          'own. Files, backups, databases and members are not copied: install the new server next. Takes `server.read` ' +
          'on the other server, too. What only an administrator may set is kept for the owner of the other server, but ' +
          'for `networkMode` "host".',
        params: ServerParams,
        body: CloneServerBody,
        response: { 201: ServerResponse },
      },
    },
    async ({ actor, params, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await servers.clone(actor, params.serverId, body) };
    },
  );
};
