import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import type { AgentGateway } from '../../gateway/gateway.js';
import type { Log } from '../../lib/log.js';
import type { Nodes } from '../nodes/service.js';
import type { ServerAccess } from './access.js';
import { createServerLifecycle, type ServerLifecycle } from './lifecycle.js';
import { createServerCloning, type ServerCloning } from './placing/clone.js';
import { createServerCreation, createServerPlacer, type ServerCreation } from './placing/creation.js';
import { createPlacement, type Placement } from './placing/placement.js';
import { createServerTransfer, type ServerTransfer } from './placing/transfer.js';
import { createAnnounceDiskLimit } from './power/disk-limit.js';
import { createServerAllocations, type ServerAllocations } from './settings/allocations.js';
import { createServerChanges, type ServerChanges } from './settings/changes.js';
import { createServerOwnership, type ServerOwnership } from './settings/owner.js';
import { createServerVariables, type ServerVariables } from './settings/variables.js';
import { createSpecifications } from './specification.js';
import { createServerViews, type ServerViews } from './views.js';

interface ServerAdministration
  extends Omit<ServerViews, 'show'>,
    ServerCreation,
    ServerCloning,
    ServerTransfer,
    ServerChanges,
    ServerAllocations,
    ServerVariables,
    ServerOwnership,
    Placement {}

export type Servers = ServerAdministration & ServerLifecycle['servers'];

export function createServers({
  database,
  agents,
  access,
  nodes,
  bus,
  log,
}: {
  database: Database;
  agents: AgentGateway;
  access: ServerAccess;
  nodes: Pick<Nodes, 'isOnline' | 'isElsewhere' | 'absence'>;
  bus: Bus;
  log: Log;
}): Servers {
  const { prisma, pool } = database;
  const views = createServerViews({ pool, nodes });
  const specifications = createSpecifications({ prisma });
  const announceDiskLimit = createAnnounceDiskLimit({ prisma, agents, log });
  const lifecycle = createServerLifecycle({ database, agents, access, nodes, specifications, bus, log });
  const { announceCrashPolicy } = lifecycle;
  const place = createServerPlacer({ prisma, nodes, views });
  return {
    list: views.list,
    get: views.get,
    ...createServerCreation({ place }),
    ...createServerCloning({ prisma, access, place }),
    ...createServerTransfer({ prisma, access, nodes, bus }),
    ...createServerChanges({ prisma, access, views, announceCrashPolicy, announceDiskLimit }),
    ...createServerAllocations({ prisma, access }),
    ...createServerVariables({ prisma, access, specifications }),
    ...createServerOwnership({ prisma, access, views, bus }),
    ...createPlacement({ pool }),
    ...lifecycle.servers,
  };
}
