import { readFileSync, statfsSync } from 'node:fs';
import { cpus, freemem, totalmem, uptime } from 'node:os';
import type { AgentMessageOf } from '../src/protocol/agent-messages.js';

export interface HealthOptions {
  nodeId: string;
  dataDir: string;
  /** How many servers run. */
  countRunning(): number;
}

const MEBIBYTE = 1024 * 1024;

/** Gives a function that measures this machine; its CPU figure is of the time since the call before. */
export function createHealthMeter({
  nodeId,
  dataDir,
  countRunning,
}: HealthOptions): () => AgentMessageOf<'health_report'> {
  let before = sampleCpu();
  return () => {
    const now = sampleCpu();
    const totalMs = now.totalMs - before.totalMs;
    const busyShare = totalMs > 0 ? 1 - (now.idleMs - before.idleMs) / totalMs : 0;
    before = now;
    const disk = statfsSync(dataDir);
    const total = totalmem();
    return {
      type: 'health_report',
      nodeId,
      cpuPercent: round(Math.min(100, Math.max(0, busyShare * 100))),
      memoryUsageMb: round((total - availableMemory()) / MEBIBYTE),
      memoryTotalMb: round(total / MEBIBYTE),
      diskUsageMb: round(((disk.blocks - disk.bfree) * disk.bsize) / MEBIBYTE),
      diskTotalMb: round((disk.blocks * disk.bsize) / MEBIBYTE),
      containerCount: countRunning(),
      uptimeSeconds: Math.round(uptime()),
    };
  };
}

function sampleCpu(): { idleMs: number; totalMs: number } {
  let idleMs = 0;
  let totalMs = 0;
  for (const { times } of cpus()) {
    idleMs += times.idle;
    totalMs += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idleMs, totalMs };
}

/** What could be had without swapping; the page cache is not in use in this sense. */
function availableMemory(): number {
  try {
    const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1];
    if (kilobytes !== undefined) return Number(kilobytes) * 1024;
  } catch {
    // Not Linux.
  }
  return freemem();
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
