import { readFileSync } from 'node:fs';
import { listProcesses, readStatFields, statField } from '../process-identity.js';
import { listCgroupProcesses } from './cgroups.js';
import type { ServerUsage } from './runtime.js';

/** Field numbers of /proc/<pid>/stat, see proc(5). */
const Field = { processGroup: 5, userTicks: 14, systemTicks: 15, startTime: 22, residentPages: 24 } as const;
/** What the kernel shows to user space, on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
/** All servers that are measured within this time share one look at the process table. */
const TABLE_MAX_AGE_MS = 500;
const MEBIBYTE = 1024 * 1024;

interface ProcessSample {
  processGroup: number;
  ticks: number;
  startTime: number;
  residentBytes: number;
}

export interface UsageMeter {
  /** Null when none of its processes is left, or this system has no /proc. */
  measure(): ServerUsage | null;
}

/** Measures servers that are process groups or control groups. Network cannot be told apart for them: 0. */
export function createUsageMeters(): (server: {
  gamePid: number;
  cgroupDirectories: string[];
}) => UsageMeter {
  const pageSizeBytes = measurePageSize();
  let table = new Map<number, ProcessSample>();
  let tableReadAtMs = 0;

  function readTable(): Map<number, ProcessSample> {
    if (Date.now() - tableReadAtMs < TABLE_MAX_AGE_MS) return table;
    table = new Map();
    for (const pid of listProcesses() ?? []) {
      const sample = sampleProcess(pid, pageSizeBytes);
      if (sample !== null) table.set(pid, sample);
    }
    tableReadAtMs = Date.now();
    return table;
  }

  function sampleServer(gamePid: number, cgroupDirectories: string[]): Map<string, ProcessSample> {
    const samples = new Map<string, ProcessSample>();
    const members = listCgroupProcesses(cgroupDirectories);
    if (members.length > 0) {
      for (const pid of members) {
        const sample = sampleProcess(pid, pageSizeBytes);
        if (sample !== null) samples.set(`${pid}.${sample.startTime}`, sample);
      }
      return samples;
    }
    for (const [pid, sample] of readTable()) {
      if (sample.processGroup === gamePid) samples.set(`${pid}.${sample.startTime}`, sample);
    }
    return samples;
  }

  return ({ gamePid, cgroupDirectories }) => {
    let before = new Map<string, ProcessSample>();
    let beforeAtMs: number | null = null;
    return {
      measure() {
        const samples = sampleServer(gamePid, cgroupDirectories);
        if (samples.size === 0) return null;
        let ticks = 0;
        let residentBytes = 0;
        for (const [key, sample] of samples) {
          ticks += sample.ticks - (before.get(key)?.ticks ?? 0);
          residentBytes += sample.residentBytes;
        }
        const nowMs = performance.now();
        const elapsedMs = beforeAtMs === null ? 0 : nowMs - beforeAtMs;
        before = samples;
        beforeAtMs = nowMs;
        return {
          cpuPercent: elapsedMs === 0 ? 0 : round((ticks / TICKS_PER_SECOND / (elapsedMs / 1000)) * 100),
          memoryMb: round(residentBytes / MEBIBYTE),
          networkSentBytes: 0,
          networkReceivedBytes: 0,
        };
      },
    };
  };
}

function sampleProcess(pid: number, pageSizeBytes: number): ProcessSample | null {
  const fields = readStatFields(pid);
  if (fields === null) return null;
  return {
    processGroup: statField(fields, Field.processGroup),
    ticks: statField(fields, Field.userTicks) + statField(fields, Field.systemTicks),
    startTime: statField(fields, Field.startTime),
    residentBytes: statField(fields, Field.residentPages) * pageSizeBytes,
  };
}

/** Node does not tell it; our own size, once in bytes and once in pages, does, to the next power of two. */
function measurePageSize(): number {
  try {
    const pages = Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[1]);
    return 2 ** Math.round(Math.log2(process.memoryUsage.rss() / pages));
  } catch {
    return 4096;
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
