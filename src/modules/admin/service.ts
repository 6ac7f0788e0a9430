import type { Pool } from 'pg';
import { type Actor, requirePermission } from '../../lib/actor.js';
import type { Log } from '../../lib/log.js';
import type { Page } from '../../lib/schemas.js';
import type { Nodes } from '../nodes/service.js';
import { listAllServers } from './all-servers.js';
import type { AnyServer, Health, ListAllServersQuery, Statistics } from './schemas.js';
import { countNodes, type NodeCounts, readStatistics } from './statistics.js';

/** A database that takes longer to count the nodes is away for whoever uses the panel. */
const DATABASE_TIMEOUT_MS = 2000;

export interface AdministrationOptions {
  pool: Pool;
  nodes: Pick<Nodes, 'isOnline'>;
  sftpState: { readonly isRunning: boolean };
  log: Log;
}

export interface Administration {
  statistics(actor: Actor): Promise<Statistics>;
  /** Everybody's, oldest first. */
  servers(actor: Actor, query: ListAllServersQuery): Promise<Page<AnyServer>>;
  health(actor: Actor): Promise<Health>;
}

export function createAdministration(options: AdministrationOptions): Administration {
  async function findNodes(): Promise<NodeCounts | null> {
    try {
      return await inTime(countNodes(options), DATABASE_TIMEOUT_MS);
    } catch (error) {
      options.log.warn({ err: error }, 'the database is away');
      return null;
    }
  }

  return {
    async statistics(actor) {
      requirePermission(actor, 'admin.read');
      return readStatistics(options);
    },

    async servers(actor, query) {
      requirePermission(actor, 'admin.read');
      return listAllServers(options, query);
    },

    async health(actor) {
      requirePermission(actor, 'admin.read');
      const nodes = await findNodes();
      return {
        status: nodes === null ? 'unhealthy' : nodes.offline > 0 ? 'degraded' : 'healthy',
        database: nodes === null ? 'disconnected' : 'connected',
        // What this panel does not have is not well either: it is not there.
        redis: 'disabled',
        nodes,
        services: {
          taskScheduler: 'disabled',
          alertService: 'disabled',
          sftpServer: options.sftpState.isRunning ? 'running' : 'disabled',
        },
        uptime: Math.floor(process.uptime()),
      };
    },
  };
}

async function inTime<Result>(work: Promise<Result>, timeoutMs: number): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`No answer within ${timeoutMs} ms.`)), timeoutMs);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
