import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { EmptyBody, ServerParams } from '../../../lib/schemas.js';
import { MessageResponse } from '../schemas.js';
import type { Servers } from '../service.js';
import { CrashPolicyResponse, RestartPolicyBody } from './crash-policy-schemas.js';

const tags = ['Servers'];

export const crashPolicyRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.patch(
    '/:serverId/restart-policy',
    {
      config: { access: 'server.update' },
      schema: {
        tags,
        summary: 'Say what becomes of a server that crashes',
        params: ServerParams,
        body: RestartPolicyBody,
        response: { 200: CrashPolicyResponse },
      },
    },
    async ({ actor, params, body }) => {
      const policy = await servers.changeRestartPolicy(actor, params.serverId, body);
      return { success: true as const, ...policy };
    },
  );

  app.post(
    '/:serverId/reset-crash-count',
    {
      config: { access: 'server.update' },
      schema: {
        tags,
        summary: 'Forget the crashes of a server',
        params: ServerParams,
        body: EmptyBody,
        response: { 200: MessageResponse },
      },
    },
    async ({ actor, params }) => {
      await servers.resetCrashCount(actor, params.serverId);
      return { success: true as const, message: 'Crash count reset' };
    },
  );
};
