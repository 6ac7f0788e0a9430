import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { pageBody, Success } from '../../lib/schemas.js';
import {
  CreateUserBody,
  ListUsersQuery,
  UpdateUserBody,
  UserParams,
  UserResponse,
  UsersResponse,
} from './schemas.js';
import type { Users } from './service.js';

const tags = ['Users'];

export const userRoutes: FastifyPluginAsyncZod<{ users: Users }> = async (app, { users }) => {
  app.get(
    '/',
    {
      config: { access: 'admin.read' },
      schema: { tags, summary: 'List users', querystring: ListUsersQuery, response: { 200: UsersResponse } },
    },
    async ({ actor, query }) => pageBody(await users.list(actor, query), query),
  );

  app.get(
    '/:userId',
    {
      config: { access: 'admin.read' },
      schema: { tags, summary: 'Get a user', params: UserParams, response: { 200: UserResponse } },
    },
    async ({ actor, params }) => ({ success: true as const, data: await users.get(actor, params.userId) }),
  );

  app.post(
    '/',
    {
      config: { access: 'admin.write' },
      schema: { tags, summary: 'Create a user', body: CreateUserBody, response: { 201: UserResponse } },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await users.create(actor, body) };
    },
  );

  app.put(
    '/:userId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Change or disable a user',
        description: 'Nobody changes a user who has a right that he does not have himself.',
        params: UserParams,
        body: UpdateUserBody,
        response: { 200: UserResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await users.update(actor, params.userId, body),
    }),
  );

  app.delete(
    '/:userId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Delete a user',
        description: 'Refused as long as the user owns servers, and for the last administrator.',
        params: UserParams,
        response: { 200: Success },
      },
    },
    async ({ actor, params }) => {
      await users.delete(actor, params.userId);
      return { success: true as const };
    },
  );
};
