import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { ActivityParams, ActivityQuery, AuditLogQuery, AuditLogResponse } from './schemas.js';
import type { AuditLogs } from './service.js';

export const auditRoutes: FastifyPluginAsyncZod<{ auditLogs: AuditLogs }> = async (app, { auditLogs }) => {
  app.get(
    '/admin/audit-logs',
    {
      config: { access: 'admin.read' },
      schema: {
        tags: ['Administration'],
        summary: 'Who changed what, newest first',
        querystring: AuditLogQuery,
        response: { 200: AuditLogResponse },
      },
    },
    async ({ actor, query }) => {
      const { entries, nextBefore } = await auditLogs.list(actor, query);
      return { success: true as const, data: entries, pagination: { limit: query.limit, nextBefore } };
    },
  );

  app.get(
    '/servers/:serverId/activity',
    {
      config: { access: 'activity.read' },
      schema: {
        tags: ['Servers'],
        summary: 'What was done to a server, newest first',
        description: 'Addresses and programs of others are null without `admin.read`.',
        params: ActivityParams,
        querystring: ActivityQuery,
        response: { 200: AuditLogResponse },
      },
    },
    async ({ actor, params, query }) => {
      const { entries, nextBefore } = await auditLogs.listOfServer(actor, params.serverId, query);
      return { success: true as const, data: entries, pagination: { limit: query.limit, nextBefore } };
    },
  );
};
