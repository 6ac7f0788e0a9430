import type { AgentGateway } from '../../../gateway/gateway.js';
import type { PrismaClient } from '../../../generated/prisma/client.js';
import type { Actor } from '../../../lib/actor.js';
import { auditChanges, recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import type { Log } from '../../../lib/log.js';
import { createTurns } from '../../../lib/turns.js';
import { withoutUndefined } from '../../../lib/without-undefined.js';
import { Capability } from '../../../protocol/agent-messages.js';
import type { ServerAccess } from '../access.js';
import { shownRestartPolicy, storedRestartPolicy } from '../restart-policy.js';
import type { ServerStates } from '../state.js';
import type { CrashPolicy, RestartPolicyBody } from './crash-policy-schemas.js';

export interface CrashPolicies {
  changeRestartPolicy(actor: Actor, serverId: string, input: RestartPolicyBody): Promise<CrashPolicy>;
  resetCrashCount(actor: Actor, serverId: string): Promise<void>;
}

/**
 * Tells the server's agent what the policy is now, if it can be told before the next start. In the background: that
 * the policy is stored is what counts.
 */
export type AnnounceCrashPolicy = (serverId: string, options: { resetCrashCount: boolean }) => void;

export function createCrashPolicies({
  prisma,
  access,
  states,
  announceCrashPolicy,
}: {
  prisma: PrismaClient;
  access: ServerAccess;
  states: ServerStates;
  announceCrashPolicy: AnnounceCrashPolicy;
}): CrashPolicies {
  return {
    async changeRestartPolicy(actor, serverId, { restartPolicy, maxCrashCount }) {
      await access.authorise(actor, serverId, 'server.update');
      const policy = await prisma.$transaction(async (transaction) => {
        await transaction.$queryRaw`SELECT FROM "Server" WHERE "id" = ${serverId} FOR UPDATE`;
        const select = { name: true, restartPolicy: true, maxCrashCount: true } as const;
        const before = await transaction.server.findUnique({ where: { id: serverId }, select });
        if (!before) throw new AppError('server.not_found');
        const data = withoutUndefined({
          restartPolicy: restartPolicy && storedRestartPolicy(restartPolicy),
          maxCrashCount,
        });
        const changes = auditChanges(before, data);
        if (Object.keys(changes.after).length === 0) return before;
        const metadata = { serverName: before.name, ...changes };
        const about = { resourceType: 'server', resourceId: serverId, serverId, metadata };
        await recordAudit(transaction, actor, { action: 'server.update', ...about });
        return transaction.server.update({ where: { id: serverId }, data, select });
      });
      announceCrashPolicy(serverId, { resetCrashCount: false });
      return {
        restartPolicy: shownRestartPolicy(policy.restartPolicy),
        maxCrashCount: policy.maxCrashCount,
      };
    },

    async resetCrashCount(actor, serverId) {
      await access.authorise(actor, serverId, 'server.update');
      const audit = { actor, entry: { action: 'server.reset_crash_count' } } as const;
      const changed = await states.change(serverId, (server) => ({ ...server, crashCount: 0 }), audit);
      if (!changed) throw new AppError('server.not_found');
      announceCrashPolicy(serverId, { resetCrashCount: true });
    },
  };
}

export function createAnnounceCrashPolicy({
  prisma,
  agents,
  log,
}: {
  prisma: PrismaClient;
  agents: AgentGateway;
  log: Log;
}): AnnounceCrashPolicy {
  /** Two changes at once: the agent is told the later one last. */
  const turns = createTurns();

  async function announce(serverId: string, resetCrashCount: boolean): Promise<void> {
    const server = await prisma.server.findUnique({
      where: { id: serverId },
      select: { uuid: true, nodeId: true, restartPolicy: true, maxCrashCount: true },
    });
    if (!server || !agents.hasCapability(server.nodeId, Capability.crashPolicyUpdates)) return;
    agents.send(server.nodeId, {
      type: 'crash_policy',
      serverId,
      serverUuid: server.uuid,
      restartPolicy: shownRestartPolicy(server.restartPolicy),
      maxCrashCount: server.maxCrashCount,
      resetCrashCount,
    });
  }

  return (serverId, { resetCrashCount }) => {
    turns
      .take(serverId, () => announce(serverId, resetCrashCount))
      .catch((error: unknown) =>
        log.warn({ serverId, err: error }, 'a new restart policy counts from the next start only'),
      );
  };
}
