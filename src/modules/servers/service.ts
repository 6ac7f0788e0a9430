import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import type { AgentGateway } from '../../gateway/gateway.js';
import type { Log } from '../../lib/log.js';
import type { Nodes } from '../nodes/service.js';
import type { ServerAccess } from './access.js';
import { createServerChanges, type ServerChanges } from './changes.js';
import { createServerCreation, type ServerCreation } from './creation.js';
import { createPlacement, type Placement } from './placement.js';
import { createPower, createPowerOrders, type Power } from './power.js';
import { createReconciliation, type Reconciliation } from './reconciliation.js';
import { createServerRemoval, type ServerRemoval } from './removal.js';
import { createServerReports, type ServerReports } from './reports.js';
import { createCommandResults } from './results.js';
import { createSpecifications } from './specification.js';
import { createServerStates } from './state.js';
import { createServerViews, type ServerViews } from './views.js';

export interface Servers
  extends ServerViews,
    ServerCreation,
    ServerChanges,
    ServerRemoval,
    Power,
    ServerReports,
    Reconciliation,
    Placement {}

export function createServers({
  database: { prisma, pool },
  agents,
  access,
  nodes,
  bus,
  log,
}: {
  database: Database;
  agents: AgentGateway;
  access: ServerAccess;
  nodes: Pick<Nodes, 'isOnline'>;
  bus: Bus;
  log: Log;
}): Servers {
  const states = createServerStates({ pool, bus });
  const views = createServerViews({ pool, nodes });
  const results = createCommandResults();
  // Requests that wait for the answer of an agent that has gone are answered now.
  bus.on('node.disconnected', ({ nodeId }) => results.abandon(nodeId));
  const order = createPowerOrders({ agents, states, specifications: createSpecifications({ prisma }) });
  return {
    ...views,
    ...createServerCreation({ prisma, views }),
    ...createServerChanges({ prisma, access, views }),
    ...createServerRemoval({ pool, agents, access, bus, states, results }),
    ...createPower({ access, order }),
    ...createServerReports({ pool, states, results, log }),
    ...createReconciliation({ states, order, log }),
    ...createPlacement({ pool }),
  };
}
