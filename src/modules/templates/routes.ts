import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { PageQuery, pageBody, Success } from '../../lib/schemas.js';
import {
  CreateTemplateBody,
  TemplateParams,
  TemplateResponse,
  TemplatesResponse,
  UpdateTemplateBody,
} from './schemas.js';
import type { Templates } from './service.js';

const tags = ['Templates'];

export const templateRoutes: FastifyPluginAsyncZod<{ templates: Templates }> = async (app, { templates }) => {
  app.get(
    '/',
    {
      config: { access: 'signed-in' },
      schema: {
        tags,
        summary: 'List templates',
        description:
          'Without install scripts and configuration files: `GET /api/templates/:templateId` has them.',
        querystring: PageQuery,
        response: { 200: TemplatesResponse },
      },
    },
    async ({ query }) => pageBody(await templates.list(query), query),
  );

  app.get(
    '/:templateId',
    {
      config: { access: 'signed-in' },
      schema: {
        tags,
        summary: 'Get a template',
        params: TemplateParams,
        response: { 200: TemplateResponse },
      },
    },
    async ({ params }) => ({ success: true as const, data: await templates.get(params.templateId) }),
  );

  app.post(
    '/',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Create a template',
        body: CreateTemplateBody,
        response: { 201: TemplateResponse },
      },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await templates.create(actor, body) };
    },
  );

  app.put(
    '/:templateId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Change a template',
        description: 'Fields that are left out stay as they are. Servers get the change at their next start.',
        params: TemplateParams,
        body: UpdateTemplateBody,
        response: { 200: TemplateResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await templates.update(actor, params.templateId, body),
    }),
  );

  app.delete(
    '/:templateId',
    {
      config: { access: 'admin.write' },
      schema: { tags, summary: 'Delete a template', params: TemplateParams, response: { 200: Success } },
    },
    async ({ actor, params }) => {
      await templates.delete(actor, params.templateId);
      return { success: true as const };
    },
  );
};
