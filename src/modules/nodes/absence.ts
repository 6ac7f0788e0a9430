import type { AgentGateway } from '../../gateway/gateway.js';
import type { PrismaClient } from '../../generated/prisma/client.js';
import { AppError } from '../../lib/errors.js';
import type { Presence } from './presence.js';

/** Of nodes whose agents this panel cannot talk to: away, or with another panel? */
export interface Absence {
  /** Its agent is not connected to this panel, but was heard of lately. */
  isElsewhere(nodeId: string): Promise<boolean>;
  /** What to throw when nothing can be sent to a node: a `node.offline` that says what to do. */
  absence(nodeId: string): Promise<AppError>;
}

/** A row may also be left over from this very panel, when it was killed a moment ago. */
const ELSEWHERE =
  'The agent of this node is connected to another panel, or about to come back to this one. Nothing was changed: ask that panel, or try again in a moment.';

export function createAbsence(options: {
  prisma: PrismaClient;
  agents: AgentGateway;
  presence: Pick<Presence, 'isOnline'>;
}): Absence {
  const { prisma, agents, presence } = options;

  async function isElsewhere(nodeId: string): Promise<boolean> {
    if (agents.isConnected(nodeId)) return false;
    const node = await prisma.node.findUnique({
      where: { id: nodeId },
      select: { isOnline: true, lastSeenAt: true },
    });
    return node !== null && presence.isOnline(node);
  }

  return {
    isElsewhere,
    async absence(nodeId) {
      return new AppError('node.offline', (await isElsewhere(nodeId)) ? ELSEWHERE : undefined);
    },
  };
}
