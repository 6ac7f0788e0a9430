import { readFileSync } from 'node:fs';

const SAMPLE_INTERVAL_MS = 100;
const BYTES_PER_MB = 1024 * 1024;

/** Resident memory of a process, as the kernel counts it. */
export function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  if (Number.isNaN(kilobytes)) throw new Error(`Process ${pid} has no memory: it has ended.`);
  return (kilobytes * 1024) / BYTES_PER_MB;
}

/** Watches a process's memory; `stop` answers the highest value that was seen. Throws when the process has ended. */
export function watchMemory(pid: number): { stop(): number } {
  let highestMb = residentMb(pid);
  const timer = setInterval(() => {
    try {
      highestMb = Math.max(highestMb, residentMb(pid));
    } catch {
      // Told by `stop`.
      clearInterval(timer);
    }
  }, SAMPLE_INTERVAL_MS);
  return {
    stop() {
      clearInterval(timer);
      return Math.max(highestMb, residentMb(pid));
    },
  };
}
