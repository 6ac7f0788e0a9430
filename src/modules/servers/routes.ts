import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { pageBody } from '../../lib/schemas.js';
import { powerRoutes } from './power-routes.js';
import {
  CreateServerBody,
  ListServersQuery,
  MessageResponse,
  ServerParams,
  ServerResponse,
  ServersResponse,
  UpdateServerBody,
} from './schemas.js';
import type { Servers } from './service.js';

const tags = ['Servers'];

export const serverRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.get(
    '/',
    {
      config: { access: 'signed-in' },
      schema: {
        tags,
        summary: 'List servers',
        querystring: ListServersQuery,
        response: { 200: ServersResponse },
      },
    },
    async ({ actor, query }) => pageBody(await servers.list(actor, query), query),
  );

  app.get(
    '/:serverId',
    {
      config: { access: 'server.read' },
      schema: { tags, summary: 'Get a server', params: ServerParams, response: { 200: ServerResponse } },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await servers.get(actor, params.serverId),
    }),
  );

  app.post(
    '/',
    {
      config: { access: 'server.create' },
      schema: {
        tags,
        summary: 'Create a server',
        description: 'Reserves memory, CPU, disk and ports on the node. Install the server next.',
        body: CreateServerBody,
        response: { 201: ServerResponse },
      },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await servers.create(actor, body) };
    },
  );

  app.put(
    '/:serverId',
    {
      config: { access: 'server.update' },
      schema: {
        tags,
        summary: 'Change a server',
        description: 'Memory, CPU and disk only while it is stopped.',
        params: ServerParams,
        body: UpdateServerBody,
        response: { 200: ServerResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await servers.update(actor, params.serverId, body),
    }),
  );

  app.delete(
    '/:serverId',
    {
      config: { access: 'server.delete' },
      schema: {
        tags,
        summary: 'Delete a server and its files',
        params: ServerParams,
        response: { 200: MessageResponse },
      },
    },
    async ({ actor, params }) => {
      await servers.delete(actor, params.serverId);
      return { success: true as const, message: 'Server deleted successfully' };
    },
  );

  await app.register(powerRoutes, { servers });
};
