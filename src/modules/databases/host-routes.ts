import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { EmptyBody, PageQuery, pageBody, Success } from '../../lib/schemas.js';
import {
  CreateHostBody,
  HostParams,
  HostResponse,
  HostsResponse,
  HostTestResponse,
  UpdateHostBody,
} from './host-schemas.js';
import type { DatabaseHosts } from './hosts.js';

const tags = ['Database hosts'];

export const databaseHostRoutes: FastifyPluginAsyncZod<{ hosts: DatabaseHosts }> = async (app, { hosts }) => {
  app.get(
    '/',
    {
      config: { access: 'admin.read' },
      schema: {
        tags,
        summary: 'List database hosts',
        querystring: PageQuery,
        response: { 200: HostsResponse },
      },
    },
    async ({ actor, query }) => pageBody(await hosts.list(actor, query), query),
  );

  app.get(
    '/:hostId',
    {
      config: { access: 'admin.read' },
      schema: { tags, summary: 'Get a database host', params: HostParams, response: { 200: HostResponse } },
    },
    async ({ actor, params }) => ({ success: true as const, data: await hosts.get(actor, params.hostId) }),
  );

  app.post(
    '/',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Add a database host',
        description:
          'The host is tried out first, by making a user and a database and dropping them again; if that fails, nothing is stored.',
        body: CreateHostBody,
        response: { 201: HostResponse },
      },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await hosts.create(actor, body) };
    },
  );

  app.put(
    '/:hostId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Change a database host',
        description:
          'What is left out stays. When the way to it changes, the host is tried out again first. Another host or port, ' +
          'and going without TLS, need the password again, so that it is not sent where it was not meant for.',
        params: HostParams,
        body: UpdateHostBody,
        response: { 200: HostResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await hosts.update(actor, params.hostId, body),
    }),
  );

  app.delete(
    '/:hostId',
    {
      config: { access: 'admin.write' },
      schema: { tags, summary: 'Delete a database host', params: HostParams, response: { 200: Success } },
    },
    async ({ actor, params }) => {
      await hosts.delete(actor, params.hostId);
      return { success: true as const };
    },
  );

  app.post(
    '/:hostId/test',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Try a database host out',
        params: HostParams,
        body: EmptyBody,
        response: { 200: HostTestResponse },
      },
    },
    async ({ actor, params }) => ({ success: true as const, data: await hosts.test(actor, params.hostId) }),
  );
};
