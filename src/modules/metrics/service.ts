import type { Pool } from 'pg';
import type { Bus, ServerStats } from '../../events.js';
import type { Log } from '../../lib/log.js';
import type { AgentMessageOf } from '../../protocol/agent-messages.js';
import { insertNodeSamples, insertServerSamples } from './insert.js';
import { createSampler } from './sampler.js';

type NodeHealth = AgentMessageOf<'health_report'>;

export interface Metrics {
  /** Publishes what was measured and stores one sample a server now and then. */
  recordStats(message: AgentMessageOf<'resource_stats'>): void;
  /** Stores one sample a node now and then. */
  recordHealth(nodeId: string, message: NodeHealth): void;
  close(): Promise<void>;
}

export function createMetrics({ pool, bus, log }: { pool: Pool; bus: Bus; log: Log }): Metrics {
  const servers = createSampler<ServerStats>({
    store: (samples) => insertServerSamples(pool, samples),
    onFailed: (error) => log.warn({ err: error }, 'storing server metrics failed'),
  });
  const nodes = createSampler<NodeHealth>({
    store: (samples) => insertNodeSamples(pool, samples),
    onFailed: (error) => log.warn({ err: error }, 'storing node metrics failed'),
  });

  return {
    recordStats({ serverId, cpu, memoryMb, networkSent, networkReceived, diskUsageMb }) {
      const measured: ServerStats = {
        serverId,
        cpu,
        memoryMb,
        networkSent,
        networkReceived,
        ...(diskUsageMb !== undefined && { diskUsageMb }),
      };
      bus.emit('server.statsReported', measured);
      servers.record(serverId, measured);
    },
    recordHealth: (nodeId, message) => nodes.record(nodeId, message),
    async close() {
      await Promise.all([servers.close(), nodes.close()]);
    },
  };
}
