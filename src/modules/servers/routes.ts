import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { pageBody, ServerParams } from '../../lib/schemas.js';
import { cloneRoutes } from './placing/clone-routes.js';
import { transferRoutes } from './placing/transfer-routes.js';
import { crashPolicyRoutes } from './power/crash-policy-routes.js';
import { powerRoutes } from './power/power-routes.js';
import { suspensionRoutes } from './power/suspension-routes.js';
import { removalRoutes } from './removal/removal-routes.js';
import {
  CreateServerBody,
  ListServersQuery,
  ServerResponse,
  ServersResponse,
  UpdateServerBody,
} from './schemas.js';
import type { Servers } from './service.js';
import { allocationRoutes } from './settings/allocation-routes.js';
import { ownerRoutes } from './settings/owner-routes.js';
import { variablesRoutes } from './settings/variables-routes.js';

const tags = ['Servers'];

export const serverRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.get(
    '/',
    {
      config: { access: 'signed-in' },
      schema: {
        tags,
        summary: 'List servers',
        description: 'Those that the caller may read; oldest first, when no `sort` is given.',
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
        description:
          'Reserves memory, CPU, disk, ports and, in the network of an IP pool, an address on the node. Without a `nodeId` ' +
          'that is the online node with the largest share of its memory left. Install the server next.',
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

  await app.register(powerRoutes, { servers });
  await app.register(allocationRoutes, { servers });
  await app.register(crashPolicyRoutes, { servers });
  await app.register(ownerRoutes, { servers });
  await app.register(removalRoutes, { servers });
  await app.register(suspensionRoutes, { servers });
  await app.register(variablesRoutes, { servers });
  await app.register(cloneRoutes, { servers });
  await app.register(transferRoutes, { servers });
};
