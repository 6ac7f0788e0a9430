import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import pg from 'pg';
import type { UserActor } from '../../src/lib/actor.js';
import { createServerViews } from '../../src/modules/servers/views.js';

const POOL_SIZE = 20;

export type BareRestRole = ReturnType<typeof createBareRestRole>;

/**
 * The baseline: the panel's own SQL through `pg`, behind Fastify without plugins, schemas, authentication
 * or rights. What it answers is what the rows are, as JSON.
 */
export function createBareRestRole() {
  const actor: UserActor = {
    kind: 'user',
    userId: 'nobody',
    username: 'nobody',
    email: 'nobody@bench.local',
    credential: { kind: 'session', sessionId: 'none' },
    permissions: new Set(['*']),
    narrowedTo: null,
    origin: { ipAddress: '127.0.0.1', userAgent: undefined },
  };

  return {
    async listen({ databaseUrl }: { databaseUrl: string }): Promise<string> {
      const views = createServerViews({
        pool: new pg.Pool({ connectionString: databaseUrl, max: POOL_SIZE }),
        nodes: { isOnline: () => true },
      });
      const app = Fastify();
      app.get('/api/servers', async () => {
        const { items, total } = await views.list(actor, { page: 1, limit: 20 });
        return { success: true, data: items, pagination: { page: 1, limit: 20, total, pages: 1 } };
      });
      app.get<{ Params: { serverId: string } }>('/api/servers/:serverId', async ({ params }) => ({
        success: true,
        data: await views.get(actor, params.serverId),
      }));
      await app.listen({ host: '127.0.0.1', port: 0 });
      return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
    },
  };
}
