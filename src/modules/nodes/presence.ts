import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import { toInt4 } from '../../lib/schemas.js';
import type { AgentMessageOf, RuntimeKind } from '../../protocol/agent-messages.js';
import { HEARTBEATS_MISSED_MAX } from '../../protocol/limits.js';

export interface ConnectedAgent {
  runtime?: RuntimeKind | undefined;
  agentVersion?: string | undefined;
  capabilities: Iterable<string>;
}

/** As it is in the row of a node. */
export interface NodePresence {
  isOnline: boolean;
  lastSeenAt: Date | null;
}

export interface PresenceOptions {
  database: Database;
  bus: Bus;
  heartbeatIntervalMs: number;
}

/** Who holds several nodes locks them in another order: a node that somebody holds waits for the next time. */
const MARK_STALE = `
  UPDATE "Node" SET "isOnline" = false, "updatedAt" = now()
  WHERE "id" IN (
    SELECT "id" FROM "Node" WHERE "isOnline" AND "lastSeenAt" < $1 FOR NO KEY UPDATE SKIP LOCKED)
  RETURNING "id"`;

export type Presence = ReturnType<typeof createPresence>;

/** What is known of nodes from their agents' connections. */
export function createPresence({ database, bus, heartbeatIntervalMs }: PresenceOptions) {
  const { prisma, pool } = database;
  const staleAfterMs = HEARTBEATS_MISSED_MAX * heartbeatIntervalMs;
  /** When this panel last heard of a node, as it wrote it down. */
  const seenHereAt = new Map<string, Date>();

  /** A node that was last heard of before is offline. */
  function staleBefore(now: Date): Date {
    return new Date(now.getTime() - staleAfterMs);
  }

  return {
    staleBefore,

    /** Its agent is connected, to this panel or another, and was heard of lately. */
    isOnline: (node: NodePresence): boolean =>
      node.isOnline && node.lastSeenAt !== null && node.lastSeenAt >= staleBefore(new Date()),

    /** What the agent says of itself. Its node is online from `recordSeen` on, when it can be talked to. */
    async recordConnected(nodeId: string, agent: ConnectedAgent): Promise<void> {
      await prisma.node.updateMany({
        where: { id: nodeId },
        data: {
          runtime: agent.runtime ?? null,
          agentVersion: agent.agentVersion ?? null,
          capabilities: [...agent.capabilities],
        },
      });
    },

    async recordSeen(nodeId: string): Promise<void> {
      const now = new Date();
      seenHereAt.set(nodeId, now);
      await prisma.node.updateMany({ where: { id: nodeId }, data: { isOnline: true, lastSeenAt: now } });
    },

    /** Who has come back to another panel meanwhile, and was heard of there, stays online. */
    async recordDisconnected(nodeId: string): Promise<void> {
      const seenAt = seenHereAt.get(nodeId);
      if (seenAt) {
        const where = { id: nodeId, lastSeenAt: { lte: seenAt } };
        await prisma.node.updateMany({ where, data: { isOnline: false } });
        seenHereAt.delete(nodeId);
      }
      bus.emit('node.disconnected', { nodeId });
    },

    /** Nodes that missed their heartbeats are offline, also when nobody noticed them leave. Answers their ids. */
    async markStaleOffline(now: Date): Promise<string[]> {
      const { rows: stale } = await pool.query<{ id: string }>({
        name: 'nodes-mark-stale',
        text: MARK_STALE,
        values: [staleBefore(now)],
      });
      for (const { id } of stale) bus.emit('node.disconnected', { nodeId: id });
      return stale.map(({ id }) => id);
    },

    async recordHealth(nodeId: string, report: AgentMessageOf<'health_report'>): Promise<void> {
      await prisma.node.updateMany({
        where: { id: nodeId },
        data: {
          cpuPercent: report.cpuPercent,
          memoryUsageMb: toInt4(report.memoryUsageMb),
          memoryTotalMb: toInt4(report.memoryTotalMb),
          diskUsageMb: toInt4(report.diskUsageMb),
          diskTotalMb: toInt4(report.diskTotalMb),
          containerCount: toInt4(report.containerCount),
          uptimeSeconds: BigInt(Math.floor(Math.min(report.uptimeSeconds, Number.MAX_SAFE_INTEGER))),
        },
      });
    },
  };
}
