import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { ServerParams } from '../../lib/schemas.js';
import { CommandAnswer, CommandBody, LogAnswer, LogQuery } from './schemas.js';
import type { ServerConsole } from './service.js';

export const consoleRoutes: FastifyPluginAsyncZod<{ console: ServerConsole }> = async (
  app,
  { console: serverConsole },
) => {
  app.get(
    '/:serverId/logs',
    {
      config: { access: 'server.logs.read' },
      schema: {
        summary: 'The newest console lines, oldest first',
        tags: ['Console'],
        params: ServerParams,
        querystring: LogQuery,
        response: { 200: LogAnswer },
      },
    },
    async (request) => {
      const data = await serverConsole.read(request.actor, request.params.serverId, request.query);
      return { success: true as const, data };
    },
  );

  app.post(
    '/:serverId/command',
    {
      config: { access: 'server.console' },
      schema: {
        summary: 'Send a command to the console',
        tags: ['Console'],
        params: ServerParams,
        body: CommandBody,
        response: { 200: CommandAnswer },
      },
    },
    async (request) => {
      await serverConsole.sendCommand(request.actor, request.params.serverId, request.body.command);
      return { success: true as const, message: 'Command sent' };
    },
  );
};
