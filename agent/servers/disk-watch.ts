import type { Logger } from 'pino';
import { type DiskUsage, isOverLimit } from './disk-limit.js';
import type { GameServer } from './server.js';

export interface DiskWatchOptions {
  servers(): GameServer[];
  usage: DiskUsage;
  /** How old a figure of a running server gets. */
  intervalMs: number;
  log: Logger;
}

const TICK_MS = 1000;
/** What takes long is done less often: measuring a server never takes more than this part of the time. */
const DUTY_DIVISOR = 10;

/** Has what running servers take measured, one after the other, and stops those that take more than they may. */
export function startDiskWatch({ servers, usage, intervalMs, log }: DiskWatchOptions): { stop(): void } {
  /** Not measured again before, however old the figure is by then. */
  const restsUntilMs = new Map<string, number>();
  const stopping = new Set<string>();
  let isLooking = false;

  async function measure({ uuid }: GameServer): Promise<number | null> {
    const startedAtMs = performance.now();
    const bytes = await usage.measure(uuid);
    const endedAtMs = performance.now();
    const restMs = Math.max(intervalMs, (endedAtMs - startedAtMs) * DUTY_DIVISOR);
    restsUntilMs.set(uuid, endedAtMs + restMs);
    return bytes;
  }

  async function look(server: GameServer): Promise<void> {
    const { uuid, serverId } = server;
    const isDue = (usage.last(uuid)?.ageMs ?? Number.POSITIVE_INFINITY) >= intervalMs;
    if (isDue && performance.now() >= (restsUntilMs.get(uuid) ?? 0)) await measure(server);
    const last = usage.last(uuid);
    if (last === null || !isOverLimit(last.bytes, server.diskMb) || stopping.has(uuid)) return;
    // Whoever is stopped for a figure is stopped for one of this moment.
    const bytes = await measure(server);
    if (bytes === null || !server.isRunning || !isOverLimit(bytes, server.diskMb)) return;
    log.warn({ serverId, bytes, diskMb: server.diskMb }, 'a server takes more of the disk than it may');
    stopping.add(uuid);
    server
      .stopOverLimit(bytes)
      .catch((error: unknown) => log.warn({ serverId, error }, 'a server over its disk limit runs on'))
      .finally(() => stopping.delete(uuid));
  }

  async function lookAtAll(): Promise<void> {
    const running = servers().filter(({ isRunning }) => isRunning);
    for (const server of running) if (server.isRunning && !isStopped) await look(server);
    const known = new Set(servers().map(({ uuid }) => uuid));
    for (const uuid of restsUntilMs.keys()) if (!known.has(uuid)) restsUntilMs.delete(uuid);
  }

  let isStopped = false;
  const timer = setInterval(
    () => {
      if (isLooking) return;
      isLooking = true;
      lookAtAll()
        .catch((error: unknown) => log.error({ error }, 'what servers take could not be looked at'))
        .finally(() => {
          isLooking = false;
        });
    },
    Math.min(TICK_MS, intervalMs),
  );
  return {
    stop() {
      isStopped = true;
      clearInterval(timer);
    },
  };
}
