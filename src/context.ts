import type { FastifyBaseLogger } from 'fastify';
import type { Config } from './config.js';
import type { Database } from './database/client.js';
import { createBus } from './events.js';
import { createFilePlane } from './gateway/data-plane/file-plane.js';
import { createDataLinks } from './gateway/data-plane/links.js';
import { createAgentGateway } from './gateway/gateway.js';
import type { Keys } from './keys.js';
import { createPasswords } from './lib/passwords.js';
import { createPrecedence } from './lib/precedence.js';
import { createSecrets } from './lib/secrets.js';
import { createAdministration } from './modules/admin/service.js';
import { createAuditLogs } from './modules/audit/service.js';
import { createAuth } from './modules/auth/service.js';
import { createConsole } from './modules/console/service.js';
import { createDatabases } from './modules/databases/service.js';
import { createDeployments } from './modules/deploy/service.js';
import { createFiles } from './modules/files/service.js';
import { createIpPools } from './modules/ip-pools/service.js';
import { createLocations } from './modules/locations/service.js';
import { createMembers } from './modules/members/service.js';
import { createMetrics } from './modules/metrics/service.js';
import { createNodes } from './modules/nodes/service.js';
import { createRoles } from './modules/roles/service.js';
import { createServerAccess } from './modules/servers/access.js';
import { requireRoomForServers } from './modules/servers/placing/capacity.js';
import { createServers } from './modules/servers/service.js';
import { createTemplates } from './modules/templates/service.js';
import { createUsers } from './modules/users/service.js';
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
  const precedence = createPrecedence();
  const dataLinks = createDataLinks(agents);
  const filePlane = createFilePlane(dataLinks);
  const access = createServerAccess({ pool: database.pool });

  const auth = createAuth({
    database,
    bus,
    passwords,
    secrets,
    jwtSecret: keys.jwtSecret,
    secretsKey: keys.secretsKey,
    registration: config.REGISTRATION,
    log,
  });
  const users = createUsers({ database, bus, passwords, sessions: auth.sessions });
  const roles = createRoles({ database, bus });
  const ipPools = createIpPools({ prisma: database.prisma });
  const locations = createLocations({ prisma: database.prisma });
  const templates = createTemplates({ prisma: database.prisma });
  const nodes = createNodes({ database, secrets, agents, bus, requireRoomForServers, config });
  const deployments = createDeployments({
    nodes,
    agentFile: resourcePath('catalyst-agent.mjs'),
    publicUrl: config.PUBLIC_URL,
  });
  const metrics = createMetrics({ pool: database.pool, bus, log, access, nodes });
  const serverConsole = createConsole({ pool: database.pool, agents, access, nodes, bus, log });
  const auditLogs = createAuditLogs({ pool: database.pool, access });
  const sftpState = { isRunning: false };
  const administration = createAdministration({ pool: database.pool, nodes, sftpState, log });
  const servers = createServers({ database, agents, access, nodes, bus, log });
  const databases = createDatabases({ database, secrets, access, log });
  const files = createFiles({
    pool: database.pool,
    access,
    plane: filePlane,
    bus,
    log,
    uploadMaxBytes: config.FILE_UPLOAD_MAX_MB * 1024 * 1024,
    pullMaxBytes: config.FILE_PULL_MAX_MB * 1024 * 1024,
  });
  const members = createMembers({ prisma: database.prisma, access, bus });

  return {
    config,
    log,
    database,
    bus,
    agents,
    dataLinks,
    precedence,
    filePlane,
    sftpState,
    access,
    auth,
    users,
    roles,
    auditLogs,
    administration,
    ipPools,
    locations,
    templates,
    nodes,
    deployments,
    metrics,
    console: serverConsole,
    servers,
    files,
    members,
    databases,
    /** Finish what is under way; the database is still there. */
    async close(): Promise<void> {
      await files.close();
      await databases.close();
      await serverConsole.close();
      await metrics.close();
      await auth.close();
    },
  };
}
