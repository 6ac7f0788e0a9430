import { cpus, loadavg, release, totalmem } from 'node:os';

/** What the numbers were measured on. */
export function describeMachine(database: string): string {
  const [cpu] = cpus();
  const memoryGb = Math.round(totalmem() / 1024 ** 3);
  return [
    `${cpus().length} cores (${cpu?.model.trim()})`,
    `${memoryGb} GB`,
    `Linux ${release()}`,
    `Node ${process.version}`,
    database,
    `load ${loadavg()[0]?.toFixed(1)} when it began`,
  ].join(', ');
}
