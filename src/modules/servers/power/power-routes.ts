import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { EmptyBody, ServerParams } from '../../../lib/schemas.js';
import { InstallResponse, MessageResponse, StopServerBody } from '../schemas.js';
import type { Servers } from '../service.js';

const tags = ['Servers'];

/** Each answers as soon as the command has been handed to the agent; what comes of it is told over `/ws`. */
export const powerRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.post(
    '/:serverId/install',
    {
      config: { access: 'server.install' },
      schema: {
        tags,
        summary: 'Install a server',
        params: ServerParams,
        body: EmptyBody,
        response: { 200: InstallResponse },
      },
    },
    async ({ actor, params: { serverId } }) => {
      await servers.power(actor, serverId, 'install');
      return { success: true as const, message: 'Installation started', serverId };
    },
  );

  app.post(
    '/:serverId/reinstall',
    {
      config: { access: 'server.install' },
      schema: {
        tags,
        summary: 'Install a server once more',
        description: 'Over the files that are there; what the installation does not write stays.',
        params: ServerParams,
        body: EmptyBody,
        response: { 200: InstallResponse },
      },
    },
    async ({ actor, params: { serverId } }) => {
      await servers.reinstall(actor, serverId);
      return { success: true as const, message: 'Reinstallation started', serverId };
    },
  );

  app.post(
    '/:serverId/stop',
    {
      config: { access: 'server.stop' },
      schema: {
        tags,
        summary: 'Stop a server',
        description: 'As its template says; it is killed when it takes longer than the time-out.',
        params: ServerParams,
        body: StopServerBody,
        response: { 200: MessageResponse },
      },
    },
    async ({ actor, params, body }) => {
      await servers.power(actor, params.serverId, 'stop', { timeoutSeconds: body?.timeout });
      return { success: true as const, message: 'Server stop initiated' };
    },
  );

  for (const { verb, summary, message } of SIMPLE) {
    app.post(
      `/:serverId/${verb}`,
      {
        config: { access: `server.${verb}` },
        schema: { tags, summary, params: ServerParams, body: EmptyBody, response: { 200: MessageResponse } },
      },
      async ({ actor, params }) => {
        await servers.power(actor, params.serverId, verb);
        return { success: true as const, message };
      },
    );
  }
};

const SIMPLE = [
  { verb: 'start', summary: 'Start a server', message: 'Server start initiated' },
  { verb: 'restart', summary: 'Restart a server', message: 'Server restart initiated' },
  { verb: 'kill', summary: 'Kill a server', message: 'Server killed' },
] as const;
