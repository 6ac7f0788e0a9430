import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { EmptyBody, Success } from '../../lib/schemas.js';
import {
  PasswordResetResponse,
  ResetPasswordBody,
  UpdateRolesBody,
  UserParams,
  UserPermissionsResponse,
  UserResponse,
} from './schemas.js';
import type { Users } from './service.js';

const tags = ['Users'];

/** What users may do, and how they get into their accounts. */
export const userSecurityRoutes: FastifyPluginAsyncZod<{ users: Users }> = async (app, { users }) => {
  app.get(
    '/:userId/permissions',
    {
      config: { access: 'admin.read' },
      schema: {
        tags,
        summary: 'What a user may do',
        params: UserParams,
        response: { 200: UserPermissionsResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await users.permissions(actor, params.userId),
    }),
  );

  app.put(
    '/:userId/roles',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Give a user these roles and no others',
        params: UserParams,
        body: UpdateRolesBody,
        response: { 200: UserResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await users.setRoles(actor, params.userId, body.roleIds),
    }),
  );

  app.post(
    '/:userId/reset-password',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Give a user another password',
        description: 'Ends every session of the user, revokes the API keys and removes the SSH keys.',
        params: UserParams,
        body: ResetPasswordBody,
        response: { 200: PasswordResetResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await users.resetPassword(actor, params.userId, body),
    }),
  );

  app.post(
    '/:userId/disable-two-factor',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Turn two-factor authentication off for a user',
        params: UserParams,
        body: EmptyBody,
        response: { 200: Success },
      },
    },
    async ({ actor, params }) => {
      await users.disableTwoFactor(actor, params.userId);
      return { success: true as const };
    },
  );
};
