import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Pool } from 'pg';
import { z } from 'zod';
import { AppError } from '../../lib/errors.js';

const tags = ['Health'];
const RETRY_SECONDS = 5;

/** For load balancers and the like: public, and no detail. */
export const healthRoutes: FastifyPluginAsyncZod<{ pool: Pool }> = async (app, { pool }) => {
  app.get(
    '/health',
    {
      config: { access: 'public', limit: 'health' },
      schema: {
        tags,
        summary: 'Is the process alive?',
        response: { 200: z.object({ status: z.literal('ok') }) },
      },
    },
    async () => ({ status: 'ok' as const }),
  );

  app.get(
    '/ready',
    {
      config: { access: 'public', limit: 'health' },
      schema: {
        tags,
        summary: 'Can it do its work?',
        response: { 200: z.object({ status: z.literal('ready') }) },
      },
    },
    async () => {
      try {
        await pool.query('SELECT 1');
      } catch (cause) {
        throw new AppError('database.unavailable', undefined, { cause, retryAfterSeconds: RETRY_SECONDS });
      }
      return { status: 'ready' as const };
    },
  );
};
