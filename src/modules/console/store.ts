import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Log } from '../../lib/log.js';
import type { LogBatch } from './batch.js';
import { insertBatches } from './insert.js';
import { createLogQueue } from './queue.js';

/** Lines wait so long for others to be stored with. */
const FLUSH_MS = 50;
/** So much is stored without waiting, */
const FLUSH_MIN_BYTES = 256 * 1024;
/** and so much at most in one statement: some hundred milliseconds of PostgreSQL's time. */
const FLUSH_MAX = { bytes: 2 * 1024 * 1024, lines: 20_000 };

const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 5000;
const CLOSE_TIMEOUT_MS = 5000;

export interface LogStore {
  /** False when there is no room, and then the batch is not taken. */
  add(batch: LogBatch): boolean;
  /** Resolves when what has been added for the server is stored, or after the time-out. */
  settle(serverId: string, timeoutMs: number): Promise<void>;
  /** What is accepted and not yet known to be stored, oldest first. */
  pending(serverId: string): LogBatch[];
  /** Whether those who bring more should wait. */
  isCrowded(): boolean;
  /** Stores what it can and stops. */
  close(): Promise<void>;
}

export interface LogStoreOptions {
  pool: Pool;
  log: Log;
  /** Every line of the server up to `seq` is stored. */
  onStored(stored: { serverId: string; nodeId: string; seq: number }): void;
  /** These lines will never be stored. */
  onDropped(batches: LogBatch[]): void;
  /** `isCrowded` is no longer true. */
  onRelieved(): void;
}

/**
 * The bulk writer beside the live path. One statement at a time stores what has come in the meantime, so that a
 * server's lines are stored in order and a slow database makes larger statements, not more of them.
 */
export function createLogStore({ pool, log, onStored, onDropped, onRelieved }: LogStoreOptions): LogStore {
  const queue = createLogQueue({ onDropped, onRelieved });
  let storedOrder = 0;
  let running: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  const closing = new AbortController();
  const waiters = new Set<{ order: number; resolve: () => void }>();

  function schedule(): void {
    if (running || queue.length() === 0) return;
    if (queue.bytes() >= FLUSH_MIN_BYTES) start();
    else timer ??= setTimeout(start, FLUSH_MS);
  }

  function start(): void {
    clearTimeout(timer);
    timer = undefined;
    if (running || queue.length() === 0) return;
    running = flush()
      .catch((error: unknown) => log.error({ err: error }, 'storing console lines failed'))
      .finally(() => {
        running = undefined;
        if (!closing.signal.aborted) schedule();
      });
  }

  async function flush(): Promise<void> {
    const entries = queue.take(FLUSH_MAX);
    const stored = await store(entries.map(({ batch }) => batch));
    if (!stored) return;
    storedOrder = entries.at(-1)?.order ?? storedOrder;
    queue.remove(entries);
    const nodes = new Map(entries.map(({ batch }) => [batch.serverId, batch.nodeId]));
    for (const [serverId, nodeId] of nodes) {
      const seq = stored.get(serverId);
      if (seq !== undefined) onStored({ serverId, nodeId, seq });
    }
    for (const waiter of waiters) if (waiter.order <= storedOrder) waiter.resolve();
  }

  /** Tries until it is done; answers nothing when the store was closed before. */
  async function store(batches: readonly LogBatch[]): Promise<Map<string, number> | undefined> {
    for (let retryMs = RETRY_MIN_MS; ; retryMs = Math.min(retryMs * 2, RETRY_MAX_MS)) {
      try {
        return await insertBatches(pool, batches, { onRefused });
      } catch (error) {
        log.warn(
          { err: error, queuedBytes: queue.bytes(), retryMs },
          'storing console lines failed, will retry',
        );
      }
      await delay(retryMs, undefined, { signal: closing.signal }).catch(() => undefined);
      if (closing.signal.aborted) return undefined;
    }
  }

  function onRefused(batch: LogBatch, error: unknown): void {
    const { serverId, firstSeq, seq } = batch;
    log.error({ err: error, serverId, firstSeq, seq }, 'console lines were refused by the database');
    onDropped([batch]);
  }

  return {
    add(batch) {
      if (closing.signal.aborted || !queue.add(batch)) return false;
      schedule();
      return true;
    },
    pending: (serverId) => queue.pending(serverId).map(({ batch }) => batch),
    isCrowded: queue.isCrowded,
    async settle(serverId, timeoutMs) {
      const order = queue.pending(serverId).at(-1)?.order;
      if (order === undefined) return;
      start();
      await new Promise<void>((resolve) => {
        const waiter = { order, resolve };
        const timeout = setTimeout(() => waiter.resolve(), timeoutMs);
        waiter.resolve = () => {
          clearTimeout(timeout);
          waiters.delete(waiter);
          resolve();
        };
        waiters.add(waiter);
      });
    },
    async close() {
      const deadline = setTimeout(() => closing.abort(), CLOSE_TIMEOUT_MS);
      while ((queue.length() > 0 || running) && !closing.signal.aborted) {
        start();
        await running;
      }
      clearTimeout(deadline);
      clearTimeout(timer);
      closing.abort();
      if (queue.bytes() > 0)
        log.error({ bytes: queue.bytes() }, 'console lines were not stored before the end');
    },
  };
}
