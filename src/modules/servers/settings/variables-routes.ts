import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { ServerParams } from '../../../lib/schemas.js';
import type { Servers } from '../service.js';
import { SetVariablesBody, VariablesResponse } from './variables-schemas.js';

const tags = ['Servers'];

export const variablesRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.get(
    '/:serverId/variables',
    {
      config: { access: 'server.read' },
      schema: {
        tags,
        summary: "A server's variables",
        params: ServerParams,
        response: { 200: VariablesResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await servers.variables(actor, params.serverId),
    }),
  );

  app.put(
    '/:serverId/variables',
    {
      config: { access: 'server.update' },
      schema: {
        tags,
        summary: "Set a server's variables",
        description: 'Only those that are named; they count from the next start.',
        params: ServerParams,
        body: SetVariablesBody,
        response: { 200: VariablesResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await servers.setVariables(actor, params.serverId, body.variables),
    }),
  );
};
