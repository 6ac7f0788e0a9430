import type { FastifyBaseLogger } from 'fastify';
import type { Config } from './config.js';
import type { Database } from './database/client.js';
import { createBus } from './events.js';
import { createAgentGateway } from './gateway/gateway.js';
import type { Keys } from './keys.js';
import { createPasswords } from './lib/passwords.js';
import { createSecrets } from './lib/secrets.js';
import { createAuth } from './modules/auth/service.js';
import { createConsole } from './modules/console/service.js';
import { createDeployments } from './modules/deploy/service.js';
import { createLocations } from './modules/locations/service.js';
import { createMetrics } from './modules/metrics/service.js';
import { createNodes } from './modules/nodes/service.js';
import { createServerAccess } from './modules/servers/access.js';
import { requireRoomForServers } from './modules/servers/capacity.js';
import { createServers } from './modules/servers/service.js';
import { createTemplates } from './modules/templates/service.js';
import { resourcePath } from './resources.js';

export interface ContextOptions {
  config: Config;
  keys: Keys;
  database: Database;
  log: FastifyBaseLogger;
}

export type Context = ReturnType<typeof createContext>;

/** The composition root: what each part is given shows what it depends on. */
export function createContext({ config, keys, database, log }: ContextOptions) {
  const bus = createBus();
  const passwords = createPasswords();
  const secrets = createSecrets(keys.secretsKey);
  const agents = createAgentGateway();
  const access = createServerAccess({ pool: database.pool });

  const auth = createAuth({
    database,
    bus,
    passwords,
    jwtSecret: keys.jwtSecret,
    registration: config.REGISTRATION,
  });
  const locations = createLocations({ prisma: database.prisma });
  const templates = createTemplates({ prisma: database.prisma });
  const nodes = createNodes({ database, secrets, agents, bus, requireRoomForServers, config });
  const deployments = createDeployments({
    nodes,
    agentFile: resourcePath('catalyst-agent.mjs'),
    publicUrl: config.PUBLIC_URL,
  });
  const metrics = createMetrics({ pool: database.pool, bus, log });
  const serverConsole = createConsole({ pool: database.pool, agents, access, bus, log });
  const servers = createServers({ database, agents, access, nodes, bus, log });

  return {
    config,
    log,
    database,
    bus,
    agents,
    access,
    auth,
    locations,
    templates,
    nodes,
    deployments,
    metrics,
    console: serverConsole,
    servers,
    /** Finish what is under way; the database is still there. */
    async close(): Promise<void> {
      await serverConsole.close();
      await metrics.close();
    },
  };
}
