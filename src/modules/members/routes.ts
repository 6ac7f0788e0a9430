import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { PageQuery, pageBody, ServerParams, Success } from '../../lib/schemas.js';
import { AddMemberBody, MemberParams, MemberResponse, MembersResponse, UpdateMemberBody } from './schemas.js';
import type { Members } from './service.js';

const tags = ['Members'];

export const memberRoutes: FastifyPluginAsyncZod<{ members: Members }> = async (app, { members }) => {
  app.get(
    '/:serverId/members',
    {
      config: { access: 'member.read' },
      schema: {
        tags,
        summary: "List a server's members",
        params: ServerParams,
        querystring: PageQuery,
        response: { 200: MembersResponse },
      },
    },
    async ({ actor, params, query }) => pageBody(await members.list(actor, params.serverId, query), query),
  );

  app.post(
    '/:serverId/members',
    {
      config: { access: 'member.write' },
      schema: {
        tags,
        summary: 'Give somebody rights on a server',
        description: 'Only rights that the caller has on it himself.',
        params: ServerParams,
        body: AddMemberBody,
        response: { 201: MemberResponse },
      },
    },
    async ({ actor, params, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await members.add(actor, params.serverId, body) };
    },
  );

  app.patch(
    '/:serverId/members/:userId',
    {
      config: { access: 'member.write' },
      schema: {
        tags,
        summary: "Change a member's rights",
        params: MemberParams,
        body: UpdateMemberBody,
        response: { 200: MemberResponse },
      },
    },
    async ({ actor, params: { serverId, userId }, body }) => ({
      success: true as const,
      data: await members.update(actor, serverId, { userId, permissions: body.permissions }),
    }),
  );

  app.delete(
    '/:serverId/members/:userId',
    {
      config: { access: 'member.write' },
      schema: {
        tags,
        summary: 'Remove a member',
        description: 'A member may remove himself.',
        params: MemberParams,
        response: { 200: Success },
      },
    },
    async ({ actor, params: { serverId, userId } }) => {
      await members.remove(actor, serverId, userId);
      return { success: true as const };
    },
  );
};
