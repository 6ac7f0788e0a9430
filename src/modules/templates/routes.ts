import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { pageBody, Success } from '../../lib/schemas.js';
import {
  CreateTemplateBody,
  ExportTemplateResponse,
  ImportTemplateBody,
  ImportTemplateResponse,
  ListTemplatesQuery,
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
        querystring: ListTemplatesQuery,
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

  app.get(
    '/:templateId/export',
    {
      config: { access: 'admin.read' },
      schema: {
        tags,
        summary: 'Export a template',
        description: '`data`, or the whole answer, is what `POST /api/templates/import` takes.',
        params: TemplateParams,
        response: { 200: ExportTemplateResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await templates.export(actor, params.templateId),
    }),
  );

  app.post(
    '/import',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Import a template or an egg',
        description:
          'The body is the JSON of an export, or of an egg of Pterodactyl (`PTDL_v1`, `PTDL_v2`) or Pelican ' +
          '(`PLCN_v1` to `PLCN_v3`). `warnings` names all that has no counterpart here.',
        body: ImportTemplateBody,
        response: { 201: ImportTemplateResponse },
      },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await templates.import(actor, body) };
    },
  );
};
