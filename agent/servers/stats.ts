import type { Logger } from 'pino';
import type { AgentMessage } from '../../src/protocol/agent-messages.js';
import { createDiskUsage } from './disk-usage.js';
import type { GameServer } from './server.js';

export interface StatsOptions {
  servers(): GameServer[];
  directoryOf(uuid: string): string;
  /** Whether a measurement would be sent at all. */
  hasRoom(): boolean;
  send(message: AgentMessage): boolean;
  intervalMs: number;
  log: Logger;
}

/** Measure every running server once in each interval and tell the panel. */
export function startStats(options: StatsOptions): { stop(): void } {
  const { servers, directoryOf, hasRoom, send, intervalMs, log } = options;
  const diskUsage = createDiskUsage(log);
  /** A runtime that answers slowly is not asked again before it has. */
  const underway = new Set<string>();

  async function measure(server: GameServer): Promise<void> {
    if (underway.has(server.serverId)) return;
    underway.add(server.serverId);
    try {
      const usage = await server.usage();
      if (usage === null || !server.isRunning) return;
      const diskUsageMb = diskUsage.measuredMb(directoryOf(server.uuid));
      send({
        type: 'resource_stats',
        serverId: server.serverId,
        cpu: usage.cpuPercent,
        memoryMb: usage.memoryMb,
        networkSent: usage.networkSentBytes,
        networkReceived: usage.networkReceivedBytes,
        ...(diskUsageMb !== undefined && { diskUsageMb }),
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
