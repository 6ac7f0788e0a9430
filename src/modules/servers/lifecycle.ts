import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import type { AgentGateway } from '../../gateway/gateway.js';
import type { Log } from '../../lib/log.js';
import type { Nodes } from '../nodes/service.js';
import type { ServerAccess } from './access.js';
import { createAnnounceCrashPolicy, createCrashPolicies } from './power/crash-policy.js';
import { createPower, createPowerOrders } from './power/power.js';
import { createReconciliation } from './power/reconciliation.js';
import { createServerReports } from './power/reports.js';
import { createCommandResults } from './power/results.js';
import { createStopIfBlocked } from './power/stop-if-blocked.js';
import { createServerSuspension } from './power/suspension.js';
import { createRemoveFromNode } from './removal/node-removal.js';
import { createServerRemoval } from './removal/removal.js';
import { createRemovedServers } from './removal/removed-servers.js';
import { createRequestedRemoval } from './removal/requested-removal.js';
import type { Specifications } from './specification.js';
import { createServerStates } from './state.js';

export type ServerLifecycle = ReturnType<typeof createServerLifecycle>;

/** What is done to servers that exist, and what their agents say about them. */
export function createServerLifecycle({
  database: { prisma, pool },
  agents,
  access,
  nodes,
  specifications,
  bus,
  log,
}: {
  database: Database;
  agents: AgentGateway;
  access: ServerAccess;
  nodes: Pick<Nodes, 'isElsewhere' | 'absence'>;
  specifications: Specifications;
  bus: Bus;
  log: Log;
}) {
  const states = createServerStates({ pool, bus });
  const results = createCommandResults();
  // Requests that wait for the answer of an agent that has gone are answered now.
  bus.on('node.disconnected', ({ nodeId }) => results.abandon(nodeId));
  const order = createPowerOrders({ agents, nodes, states, specifications });
  const stopIfBlocked = createStopIfBlocked({ order, log });
  const removeFromNode = createRemoveFromNode({ agents, results });
  const removedServers = createRemovedServers({ pool, agents, removeFromNode, log });
  const requestedRemoval = createRequestedRemoval({ pool, agents, bus, states, removeFromNode, log });
  const announceCrashPolicy = createAnnounceCrashPolicy({ prisma, agents, log });
  return {
    announceCrashPolicy,
    servers: {
      ...createPower({ access, order }),
      ...createServerReports({ pool, states, results, stopIfBlocked, log }),
      ...createReconciliation({ states, order, removedServers, requestedRemoval, log }),
      ...createServerSuspension({ pool, agents, access, states, stopIfBlocked }),
      ...createServerRemoval({ pool, agents, nodes, access, bus, states, removeFromNode, removedServers }),
      ...requestedRemoval,
      clearRemaining: removedServers.clearRemaining,
      ...createCrashPolicies({ prisma, access, states, announceCrashPolicy }),
    },
  };
}
