import type { PrismaClient } from '../../../generated/prisma/client.js';
import { type Actor, requirePermission } from '../../../lib/actor.js';
import { isDatabaseUnavailable } from '../../../lib/database-errors.js';
import { AppError } from '../../../lib/errors.js';
import { createTurns } from '../../../lib/turns.js';
import type { Nodes } from '../../nodes/service.js';
import type { CreateServerBody, ServerDetail } from '../schemas.js';
import type { ServerViews } from '../views.js';
import { chooseNodes, noNode, refusalReason } from './node-choice.js';
import { reserve } from './reservation.js';
import { type PlanRequest, planServer, type ServerPlan } from './server-plan.js';

export interface ServerCreation {
  create(actor: Actor, input: CreateServerBody): Promise<ServerDetail>;
}

/** What creating and cloning have in common. */
export type PlaceServer = (actor: Actor, request: PlanRequest) => Promise<ServerDetail>;

/** Creations under way at once; more are told to come back. */
const WAITING_MAX = 500;

export function createServerCreation({ place }: { place: PlaceServer }): ServerCreation {
  return {
    create(actor, input) {
      return place(actor, { input, audit: { action: 'server.create', metadata: {} } });
    },
  };
}

/** Puts servers on nodes: on the one that is named, or on the best one that has room. */
export function createServerPlacer({
  prisma,
  nodes,
  views,
}: {
  prisma: PrismaClient;
  nodes: Pick<Nodes, 'isOnline'>;
  views: Pick<ServerViews, 'show'>;
}): PlaceServer {
  // They would only wait for the node's lock, each with a connection that others could use.
  const turns = createTurns({ isHopeless: isDatabaseUnavailable });
  let waiting = 0;

  /** Answers the id of the server. */
  async function putSomewhere(actor: Actor, plan: ServerPlan): Promise<string> {
    const { locationId, resources, network } = plan;
    const wish = { locationId, resources, networkMode: network.networkMode };
    const { candidates, refusals } = await chooseNodes({ prisma, nodes }, wish);
    for (const { id, name } of candidates) {
      try {
        return await turns.take(id, () => reserve(prisma, actor, plan, id));
      } catch (error) {
        const reason = refusalReason(error);
        if (reason === null) throw error;
        refusals.push({ nodeName: name, reason });
      }
    }
    throw noNode(refusals, locationId);
  }

  return async function place(actor, request) {
    requirePermission(actor, 'server.create');
    if (waiting >= WAITING_MAX) throw new AppError('panel.busy');
    waiting += 1;
    try {
      const plan = await planServer(prisma, actor, request);
      const { nodeId } = plan;
      const serverId =
        nodeId === null
          ? await putSomewhere(actor, plan)
          : await turns.take(nodeId, () => reserve(prisma, actor, plan, nodeId));
      // Not `get`: an API key may be allowed to create servers without being allowed to read any.
      return await views.show(serverId);
    } finally {
      waiting -= 1;
    }
  };
}
