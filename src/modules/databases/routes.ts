import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { EmptyBody, PageQuery, pageBody, ServerParams, Success } from '../../lib/schemas.js';
import {
  AvailableHostsResponse,
  CreateDatabaseBody,
  DatabaseParams,
  DatabaseResponse,
  DatabasesResponse,
} from './schemas.js';
import type { Databases } from './service.js';

const tags = ['Databases'];

export const databaseRoutes: FastifyPluginAsyncZod<{ databases: Databases }> = async (app, { databases }) => {
  app.get(
    '/:serverId/databases',
    {
      config: { access: 'database.read' },
      schema: {
        tags,
        summary: 'List the databases of a server',
        params: ServerParams,
        querystring: PageQuery,
        response: { 200: DatabasesResponse },
      },
    },
    async ({ actor, params, query }) => pageBody(await databases.list(actor, params.serverId, query), query),
  );

  app.get(
    '/:serverId/database-hosts',
    {
      config: { access: 'database.create' },
      schema: {
        tags,
        summary: 'List the hosts on which the server can have databases',
        params: ServerParams,
        querystring: PageQuery,
        response: { 200: AvailableHostsResponse },
      },
    },
    async ({ actor, params, query }) =>
      pageBody(await databases.listHosts(actor, params.serverId, query), query),
  );

  app.post(
    '/:serverId/databases',
    {
      config: { access: 'database.create' },
      schema: {
        tags,
        summary: 'Create a database',
        params: ServerParams,
        body: CreateDatabaseBody,
        response: { 201: DatabaseResponse },
      },
    },
    async ({ actor, params, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await databases.create(actor, params.serverId, body) };
    },
  );

  app.post(
    '/:serverId/databases/:databaseId/rotate',
    {
      config: { access: 'database.rotate' },
      schema: {
        tags,
        summary: 'Give a database a new password',
        params: DatabaseParams,
        body: EmptyBody,
        response: { 200: DatabaseResponse },
      },
    },
    async ({ actor, params: { serverId, databaseId } }) => ({
      success: true as const,
      data: await databases.rotate(actor, serverId, databaseId),
    }),
  );

  app.delete(
    '/:serverId/databases/:databaseId',
    {
      config: { access: 'database.delete' },
      schema: {
        tags,
        summary: 'Delete a database and everything in it',
        params: DatabaseParams,
        response: { 200: Success },
      },
    },
    async ({ actor, params: { serverId, databaseId } }) => {
      await databases.delete(actor, serverId, databaseId);
      return { success: true as const };
    },
  );
};
