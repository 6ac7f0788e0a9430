import type { Pool } from 'pg';
import type { Bus, ServerStats } from '../../events.js';
import type { Actor } from '../../lib/actor.js';
import type { Log } from '../../lib/log.js';
import type { AgentMessageOf } from '../../protocol/agent-messages.js';
import type { Nodes } from '../nodes/service.js';
import type { ServerAccess } from '../servers/access.js';
import { createMetricsHistory, type MetricsHistory } from './history.js';
import { insertNodeSamples, insertServerSamples } from './insert.js';
import { createLatest } from './latest.js';
import { createNodeLive } from './node-live.js';
import { createSampler } from './sampler.js';
import type { NodeLive, ServerLive } from './schemas.js';
import { createServerLive } from './server-live.js';

type NodeHealth = AgentMessageOf<'health_report'>;

export interface Metrics extends MetricsHistory {
  /** What a server uses now. */
  serverLive(actor: Actor, serverId: string): Promise<ServerLive>;
  /** How a node is now, and how much of it is given away. */
  nodeLive(actor: Actor, nodeId: string): Promise<NodeLive>;
  /** Publishes what was measured and stores one sample a server now and then. */
  recordStats(message: AgentMessageOf<'resource_stats'>): void;
  /** Stores one sample a node now and then. */
  recordHealth(nodeId: string, message: NodeHealth): void;
  close(): Promise<void>;
}

export function createMetrics(options: {
  pool: Pool;
  bus: Bus;
  log: Log;
  access: ServerAccess;
  nodes: Pick<Nodes, 'isOnline'>;
}): Metrics {
  const { pool, bus, log, access } = options;
  const latestStats = createLatest<ServerStats>();
  const latestHealth = createLatest<NodeHealth>();
  const servers = createSampler<ServerStats>({
    store: (samples) => insertServerSamples(pool, samples),
    onFailed: (error) => log.warn({ err: error }, 'storing server metrics failed'),
  });
  const nodes = createSampler<NodeHealth>({
    store: (samples) => insertNodeSamples(pool, samples),
    onFailed: (error) => log.warn({ err: error }, 'storing node metrics failed'),
  });

  return {
    ...createMetricsHistory({ pool, access }),
    serverLive: createServerLive({ pool, access, latest: latestStats }),
    nodeLive: createNodeLive({ pool, nodes: options.nodes, latest: latestHealth }),

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
      latestStats.record(serverId, measured);
      servers.record(serverId, measured);
    },
    recordHealth(nodeId, message) {
      latestHealth.record(nodeId, message);
      nodes.record(nodeId, message);
    },
    async close() {
      await Promise.all([servers.close(), nodes.close()]);
    },
  };
}
