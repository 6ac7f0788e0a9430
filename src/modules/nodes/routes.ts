import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { NodeParams, pageBody, Success } from '../../lib/schemas.js';
import { nodeCredentialRoutes } from './credential-routes.js';
import { CreateNodeBody, ListNodesQuery, NodeResponse, NodesResponse, UpdateNodeBody } from './schemas.js';
import type { Nodes } from './service.js';

const tags = ['Nodes'];

export const nodeRoutes: FastifyPluginAsyncZod<{ nodes: Nodes }> = async (app, { nodes }) => {
  await app.register(nodeCredentialRoutes, { nodes });

  app.get(
    '/',
    {
      config: { access: 'signed-in' },
      schema: { tags, summary: 'List nodes', querystring: ListNodesQuery, response: { 200: NodesResponse } },
    },
    async ({ actor, query }) => pageBody(await nodes.list(actor, query), query),
  );

  app.get(
    '/:nodeId',
    {
      config: { access: 'signed-in' },
      schema: {
        tags,
        summary: 'Get a node',
        description: 'The secret is only in the answer to callers with `admin.write`.',
        params: NodeParams,
        response: { 200: NodeResponse },
      },
    },
    async ({ actor, params }) => ({ success: true as const, data: await nodes.get(actor, params.nodeId) }),
  );

  app.post(
    '/',
    {
      config: { access: 'admin.write' },
      schema: { tags, summary: 'Create a node', body: CreateNodeBody, response: { 201: NodeResponse } },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await nodes.create(actor, body) };
    },
  );

  app.put(
    '/:nodeId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Change a node',
        description: 'Fields that are left out stay as they are.',
        params: NodeParams,
        body: UpdateNodeBody,
        response: { 200: NodeResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await nodes.update(actor, params.nodeId, body),
    }),
  );

  app.delete(
    '/:nodeId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Delete a node',
        description: 'Only without servers. Its IP pools and deployment tokens are deleted, too.',
        params: NodeParams,
        response: { 200: Success },
      },
    },
    async ({ actor, params }) => {
      await nodes.delete(actor, params.nodeId);
      return { success: true as const };
    },
  );
};
