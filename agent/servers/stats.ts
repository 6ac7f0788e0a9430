import type { Logger } from 'pino';
import type { AgentMessage } from '../../src/protocol/agent-messages.js';
import type { DiskUsage } from './disk-limit.js';
import type { GameServer } from './server.js';

export interface StatsOptions {
  servers(): GameServer[];
  diskUsage: DiskUsage;
  /** Whether a measurement would be sent at all. */
  hasRoom(): boolean;
  send(message: AgentMessage): boolean;
  intervalMs: number;
  log: Logger;
}

/** Measure every running server once in each interval and tell the panel. */
export function startStats(options: StatsOptions): { stop(): void } {
  const { servers, diskUsage, hasRoom, send, intervalMs, log } = options;
  /** A runtime that answers slowly is not asked again before it has. */
  const underway = new Set<string>();

  async function measure(server: GameServer): Promise<void> {
    if (underway.has(server.serverId)) return;
    underway.add(server.serverId);
    try {
      const usage = await server.usage();
      if (usage === null || !server.isRunning) return;
      const diskBytes = diskUsage.last(server.uuid)?.bytes;
      send({
        type: 'resource_stats',
        serverId: server.serverId,
        cpu: usage.cpuPercent,
        memoryMb: usage.memoryMb,
        networkSent: usage.networkSentBytes,
        networkReceived: usage.networkReceivedBytes,
        ...(diskBytes !== undefined && { diskUsageMb: toMegabytes(diskBytes) }),
      });
    } catch (error) {
      log.warn({ error, serverId: server.serverId }, 'a server could not be measured');
    } finally {
      underway.delete(server.serverId);
    }
  }

  const timer = setInterval(() => {
    if (!hasRoom()) return;
    for (const server of servers()) if (server.isRunning) void measure(server);
  }, intervalMs);
  return { stop: () => clearInterval(timer) };
}

function toMegabytes(bytes: number): number {
  return Math.round((bytes / 1024 / 1024) * 10) / 10;
}
