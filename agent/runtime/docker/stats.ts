import type Docker from 'dockerode';
import { z } from 'zod';
import type { ServerUsage } from '../runtime.js';
import { callEngine } from './call.js';

const MEGABYTE = 1024 * 1024;
const USAGE_TIMEOUT_MS = 5000;

/** What is read of the engine's answer, which it fills in only partly for a container that is just ending. */
const Stats = z.object({
  read: z.iso.datetime(),
  cpu_stats: z.object({ cpu_usage: z.object({ total_usage: z.number() }) }),
  memory_stats: z.object({
    usage: z.number(),
    stats: z.object({ inactive_file: z.number().optional(), total_inactive_file: z.number().optional() }),
  }),
  // Absent in the host's network.
  networks: z.record(z.string(), z.object({ rx_bytes: z.number(), tx_bytes: z.number() })).default({}),
});

/**
 * Measures a container. CPU is the time used since the previous measurement, for the first one since the start.
 * Memory is without the page cache that the kernel would give back at once, as `docker stats` counts it
 * (cgroup v1 calls that `total_inactive_file`, v2 `inactive_file`).
 */
export function createUsageMeter(
  container: Docker.Container,
  startedAt: Date,
): () => Promise<ServerUsage | null> {
  let previous = { cpuNs: 0, atMs: startedAt.getTime() };

  return async () => {
    const stats = Stats.safeParse(await readStats(container)).data;
    if (stats === undefined) return null;
    const cpuNs = stats.cpu_stats.cpu_usage.total_usage;
    const atMs = Date.parse(stats.read);
    const cpuPercent = ((cpuNs - previous.cpuNs) / 1e6 / Math.max(atMs - previous.atMs, 1)) * 100;
    previous = { cpuNs, atMs };
    const { usage, stats: details } = stats.memory_stats;
    const cache = details.total_inactive_file ?? details.inactive_file ?? 0;
    const networks = Object.values(stats.networks);
    return {
      cpuPercent: Math.max(cpuPercent, 0),
      memoryMb: Math.max(usage - cache, 0) / MEGABYTE,
      networkSentBytes: networks.reduce((sum, { tx_bytes }) => sum + tx_bytes, 0),
      networkReceivedBytes: networks.reduce((sum, { rx_bytes }) => sum + rx_bytes, 0),
    };
  };
}

/** Null when the engine cannot tell: the container is gone, or the engine is. */
async function readStats(container: Docker.Container): Promise<unknown> {
  // Without `one-shot` the engine would wait a second for a second measurement of its own.
  const call = () => container.stats({ stream: false, 'one-shot': true });
  return callEngine(container, call, USAGE_TIMEOUT_MS).catch(() => null);
}
