import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { PageQuery, pageBody, Success } from '../../lib/schemas.js';
import { permissionCatalogue } from './permissions.js';
import {
  CreateRoleBody,
  PermissionCatalogueResponse,
  RoleParams,
  RoleResponse,
  RolesResponse,
  UpdateRoleBody,
} from './schemas.js';
import type { Roles } from './service.js';

const tags = ['Roles'];

export const roleRoutes: FastifyPluginAsyncZod<{ roles: Roles }> = async (app, { roles }) => {
  app.get(
    '/permissions',
    {
      config: { access: 'signed-in' },
      schema: { tags, summary: 'Every right there is', response: { 200: PermissionCatalogueResponse } },
    },
    async () => ({ success: true as const, data: permissionCatalogue() }),
  );

  app.get(
    '/roles',
    {
      config: { access: 'admin.read' },
      schema: { tags, summary: 'List roles', querystring: PageQuery, response: { 200: RolesResponse } },
    },
    async ({ actor, query }) => pageBody(await roles.list(actor, query), query),
  );

  app.get(
    '/roles/:roleId',
    {
      config: { access: 'admin.read' },
      schema: { tags, summary: 'Get a role', params: RoleParams, response: { 200: RoleResponse } },
    },
    async ({ actor, params }) => ({ success: true as const, data: await roles.get(actor, params.roleId) }),
  );

  app.post(
    '/roles',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Create a role',
        description: 'With rights that you have yourself.',
        body: CreateRoleBody,
        response: { 201: RoleResponse },
      },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await roles.create(actor, body) };
    },
  );

  app.put(
    '/roles/:roleId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Change a role',
        description: 'It counts at once for everybody who has the role.',
        params: RoleParams,
        body: UpdateRoleBody,
        response: { 200: RoleResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await roles.update(actor, params.roleId, body),
    }),
  );

  app.delete(
    '/roles/:roleId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Delete a role',
        description: 'Refused as long as somebody has it.',
        params: RoleParams,
        response: { 200: Success },
      },
    },
    async ({ actor, params }) => {
      await roles.delete(actor, params.roleId);
      return { success: true as const };
    },
  );
};
