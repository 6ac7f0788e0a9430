import { EventEmitter } from 'node:events';
import pg from 'pg';
import { pino } from 'pino';
import type { Bus } from '../../src/events.js';
import { requirePermission } from '../../src/lib/actor.js';
import { createAccessTokens } from '../../src/modules/auth/access-tokens.js';
import { createAuthenticator } from '../../src/modules/auth/authenticate.js';
import { createApiKeyTokens } from '../../src/modules/auth/keys/api-key-tokens.js';
import { createApiKeyUse } from '../../src/modules/auth/keys/api-key-use.js';
import { createServerAccess } from '../../src/modules/servers/access.js';
import { monotonicMs } from './lines.js';

export type RightsRole = ReturnType<typeof createRightsRole>;

export interface RightsInput {
  databaseUrl: string;
  jwtSecret: string;
  token: string;
  serverId: string;
  checks: number;
}

const ORIGIN = { ipAddress: '127.0.0.1', userAgent: undefined };

/** What a check of rights costs, without the request around it. */
export function createRightsRole() {
  return {
    /** @returns milliseconds for one check: of a role's right, and of a right on a server. */
    async measure(input: RightsInput): Promise<{ roleMs: number; serverMs: number }> {
      const pool = new pg.Pool({ connectionString: input.databaseUrl, max: 1 });
      const bus: Bus = new EventEmitter();
      const authenticate = createAuthenticator({
        pool,
        bus,
        accessTokens: createAccessTokens(input.jwtSecret),
        apiKeyTokens: createApiKeyTokens(input.jwtSecret),
        apiKeyUse: createApiKeyUse({ pool, log: pino({ level: 'warn' }) }),
      });
      const access = createServerAccess({ pool });
      const actor = await authenticate(input.token, ORIGIN);
      const roleMs = await average(input.checks, async () =>
        requirePermission(await authenticate(input.token, ORIGIN), 'admin.write'),
      );
      const serverMs = await average(input.checks / 100, () =>
        access.authorise(actor, input.serverId, 'server.start'),
      );
      await pool.end();
      return { roleMs, serverMs };
    },
  };
}

async function average(count: number, work: () => Promise<unknown>): Promise<number> {
  const startedAtMs = monotonicMs();
  for (let done = 0; done < count; done += 1) await work();
  return (monotonicMs() - startedAtMs) / count;
}
