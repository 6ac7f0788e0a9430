import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { EmptyBody, ServerParams } from '../../../lib/schemas.js';
import type { Servers } from '../service.js';
import { SuspendServerBody, SuspensionResponse } from './suspension-schemas.js';

const tags = ['Servers'];

export const suspensionRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.post(
    '/:serverId/suspend',
    {
      config: { access: 'server.suspend' },
      schema: {
        tags,
        summary: 'Suspend a server',
        description: 'It is stopped, and whatever changes it is refused with 423 until the suspension ends.',
        params: ServerParams,
        body: SuspendServerBody,
        response: { 200: SuspensionResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await servers.suspend(actor, params.serverId, body?.reason ?? null),
    }),
  );

  app.post(
    '/:serverId/unsuspend',
    {
      config: { access: 'server.suspend' },
      schema: {
        tags,
        summary: 'End the suspension of a server',
        params: ServerParams,
        body: EmptyBody,
        response: { 200: SuspensionResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await servers.unsuspend(actor, params.serverId),
    }),
  );
};
