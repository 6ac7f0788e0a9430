import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { Success } from '../../../lib/schemas.js';
import type { Auth } from '../service.js';
import { ChangePasswordBody, DeleteMeBody, MeResponse, UpdateMeBody } from './account-schemas.js';

const tags = ['Account'];
const config = { access: 'session' } as const;

export const accountRoutes: FastifyPluginAsyncZod<{ profile: Auth['profile'] }> = async (
  app,
  { profile },
) => {
  app.get(
    '/me',
    {
      config: { access: 'signed-in' },
      schema: { tags: ['Authentication'], summary: 'Get the current user', response: { 200: MeResponse } },
    },
    async ({ actor }) => ({ success: true as const, data: await profile.get(actor) }),
  );

  app.patch(
    '/me',
    {
      config,
      schema: {
        tags,
        summary: 'Change your e-mail or username',
        description: 'A change of the e-mail takes the current password.',
        body: UpdateMeBody,
        response: { 200: MeResponse },
      },
    },
    async ({ actor, body }) => ({ success: true as const, data: await profile.update(actor, body) }),
  );

  app.delete(
    '/me',
    {
      config,
      schema: {
        tags,
        summary: 'Delete your account',
        description: 'Refused while you own servers, and to the last administrator.',
        body: DeleteMeBody,
        response: { 200: Success },
      },
    },
    async ({ actor, body }) => {
      await profile.remove(actor, body.password);
      return { success: true as const };
    },
  );

  app.post(
    '/change-password',
    {
      config,
      schema: {
        tags,
        summary: 'Change your password',
        description: 'Ends all other sessions. API keys stay.',
        body: ChangePasswordBody,
        response: { 200: Success },
      },
    },
    async ({ actor, body }) => {
      await profile.changePassword(actor, body);
      return { success: true as const };
    },
  );
};
