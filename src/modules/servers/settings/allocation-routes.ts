import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { PageQuery, pageBody, ServerParams, Success } from '../../../lib/schemas.js';
import type { Servers } from '../service.js';
import {
  AddAllocationBody,
  AllocationParams,
  AllocationResponse,
  AllocationsResponse,
  PrimaryAllocationBody,
  PrimaryPortResponse,
} from './allocation-schemas.js';

const tags = ['Servers'];

/** The ports of a server; whatever changes them takes a stopped one. */
export const allocationRoutes: FastifyPluginAsyncZod<{ servers: Servers }> = async (app, { servers }) => {
  app.get(
    '/:serverId/allocations',
    {
      config: { access: 'server.read' },
      schema: {
        tags,
        summary: "List a server's ports",
        params: ServerParams,
        querystring: PageQuery,
        response: { 200: AllocationsResponse },
      },
    },
    async ({ actor, params, query }) =>
      pageBody(await servers.allocations(actor, params.serverId, query), query),
  );

  app.post(
    '/:serverId/allocations',
    {
      config: { access: 'server.update' },
      schema: {
        tags,
        summary: 'Give a server another port',
        params: ServerParams,
        body: AddAllocationBody,
        response: { 200: AllocationResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await servers.addAllocation(actor, params.serverId, body),
    }),
  );

  app.post(
    '/:serverId/allocations/primary',
    {
      config: { access: 'server.update' },
      schema: {
        tags,
        summary: "Make one of a server's ports its primary",
        params: ServerParams,
        body: PrimaryAllocationBody,
        response: { 200: PrimaryPortResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await servers.makePrimary(actor, params.serverId, body.containerPort),
    }),
  );

  app.delete(
    '/:serverId/allocations/:containerPort',
    {
      config: { access: 'server.update' },
      schema: {
        tags,
        summary: 'Take a port from a server',
        params: AllocationParams,
        response: { 200: Success },
      },
    },
    async ({ actor, params }) => {
      await servers.removeAllocation(actor, params.serverId, params.containerPort);
      return { success: true as const };
    },
  );
};
