import type { AgentGateway } from '../../../gateway/gateway.js';
import type { PrismaClient } from '../../../generated/prisma/client.js';
import { SYSTEM_ACTOR } from '../../../lib/actor.js';
import type { Log } from '../../../lib/log.js';
import { createTurns } from '../../../lib/turns.js';
import { Capability, type ServerObservation } from '../../../protocol/agent-messages.js';
import type { ServerState, StateAudit } from '../state.js';

/** What an agent gives as the cause when it stops a server because of what its files take. */
export const DISK_LIMIT_CAUSE = 'disk_limit';

/** For the audit log: a server that was up is taken down for its disk limit. A start that is refused is none. */
export function auditDiskLimit({ cause }: Pick<ServerObservation, 'cause'>) {
  return (before: ServerState, after: ServerState): StateAudit | null => {
    if (cause !== DISK_LIMIT_CAUSE || !goesDown(before, after)) return null;
    const metadata = { reason: after.statusReason };
    return { actor: SYSTEM_ACTOR, entry: { action: 'server.disk_limit_exceeded', metadata } };
  };
}

function goesDown(before: ServerState, after: ServerState): boolean {
  if (after.status === 'stopping') return before.status !== 'stopping';
  // The stop itself was not seen: the node was away.
  return before.status === 'running' && (after.status === 'stopped' || after.status === 'crashed');
}

/**
 * Tells the server's agent what its files may take now: they can be written to before the next start, which brings it
 * anyway. In the background.
 */
export type AnnounceDiskLimit = (serverId: string) => void;

export function createAnnounceDiskLimit(dependencies: {
  prisma: PrismaClient;
  agents: AgentGateway;
  log: Log;
}): AnnounceDiskLimit {
  const { prisma, agents, log } = dependencies;
  /** Two changes at once: the agent is told the later one last. */
  const turns = createTurns();

  async function announce(serverId: string): Promise<void> {
    const select = { uuid: true, nodeId: true, allocatedDiskMb: true } as const;
    const server = await prisma.server.findUnique({ where: { id: serverId }, select });
    if (!server || !agents.hasCapability(server.nodeId, Capability.diskLimits)) return;
    const { uuid: serverUuid, nodeId, allocatedDiskMb: diskMb } = server;
    agents.send(nodeId, { type: 'disk_limit', serverId, serverUuid, diskMb });
  }

  return (serverId) => {
    turns
      .take(serverId, () => announce(serverId))
      .catch((error: unknown) =>
        log.warn({ serverId, err: error }, 'a new disk limit counts from the next start only'),
      );
  };
}
