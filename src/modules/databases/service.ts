import type { Pool } from 'pg';
import type { Database as PanelDatabase } from '../../database/client.js';
import type { PrismaClient } from '../../generated/prisma/client.js';
import type { Log } from '../../lib/log.js';
import type { Secrets } from '../../lib/secrets.js';
import type { ServerAccess } from '../servers/access.js';
import { createHostConnections, type HostConnections } from './connections.js';
import { createDatabaseCreation, type DatabaseCreation } from './creation.js';
import { answerForUser, HostFailure } from './failure.js';
import { createDatabaseHosts, type DatabaseHosts } from './hosts.js';
import { createPendingDatabases, type PendingDatabases } from './pending.js';
import { createDatabaseRemoval, type DatabaseRemoval } from './removal.js';
import { createDatabaseRotation, type DatabaseRotation } from './rotation.js';
import { createDatabaseViews, type DatabaseViews } from './views.js';

export interface Databases
  extends DatabaseViews,
    DatabaseCreation,
    DatabaseRotation,
    DatabaseRemoval,
    PendingDatabases {
  hosts: DatabaseHosts;
}

export interface DatabaseDependencies {
  prisma: PrismaClient;
  pool: Pool;
  secrets: Secrets;
  access: ServerAccess;
  connections: HostConnections;
  /** Does what involves a host; of its failure the log is told the reason, and the user what concerns him. */
  answering<Result>(hostId: string, work: () => Promise<Result>): Promise<Result>;
  log: Log;
}

/** The databases that servers have on database hosts. */
export function createDatabases({
  database: { prisma, pool },
  secrets,
  access,
  log,
}: {
  database: PanelDatabase;
  secrets: Secrets;
  access: ServerAccess;
  log: Log;
}): Databases {
  const connections = createHostConnections();
  const dependencies: DatabaseDependencies = {
    prisma,
    pool,
    secrets,
    access,
    connections,
    log,
    async answering(hostId, work) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof HostFailure && error.kind !== 'taken' && error.kind !== 'public') {
          log.warn({ hostId, kind: error.kind, reason: error.message }, 'a database host failed');
        }
        throw answerForUser(error);
      }
    },
  };
  return {
    ...createDatabaseViews(dependencies),
    ...createDatabaseCreation(dependencies),
    ...createDatabaseRotation(dependencies),
    ...createDatabaseRemoval(dependencies),
    ...createPendingDatabases(dependencies),
    hosts: createDatabaseHosts({ prisma, secrets, connections }),
  };
}
