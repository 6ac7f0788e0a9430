import { type LogBatch, sizeOf } from './batch.js';

/** Above this agents are slowed down, until there is less than `LOW_WATER_BYTES` again. */
const HIGH_WATER_BYTES = 8 * 1024 * 1024;
const LOW_WATER_BYTES = 4 * 1024 * 1024;
/** Above this, lines that no agent keeps are thrown away, oldest first, until there is some room again. */
const QUEUE_MAX_BYTES = 16 * 1024 * 1024;
const DROP_ROOM_BYTES = 1024 * 1024;
/** Above this, nothing is taken any more. */
const QUEUE_LIMIT_BYTES = 32 * 1024 * 1024;

interface Queued {
  batch: LogBatch;
  bytes: number;
  /** Counts up. */
  order: number;
}

export interface LogQueue {
  /** False when there is no room, and then the batch is not taken. */
  add(batch: LogBatch): boolean;
  /** The oldest batches within the limits, at least one; they stay pending until they are removed. */
  take(limits: { bytes: number; lines: number }): Queued[];
  remove(entries: readonly Queued[]): void;
  /** What was added for the server and not removed, oldest first. */
  pending(serverId: string): readonly Queued[];
  /** Of what waits to be taken. */
  length(): number;
  /** Of everything that has not been removed. */
  bytes(): number;
  isCrowded(): boolean;
}

/** What waits to be stored, bounded in bytes. */
export function createLogQueue({
  onDropped,
  onRelieved,
}: {
  /** Thrown away for want of room, oldest first. */
  onDropped(batches: LogBatch[]): void;
  onRelieved(): void;
}): LogQueue {
  let waiting: Queued[] = [];
  let bytes = 0;
  let lastOrder = 0;
  let isCrowded = false;
  const pendingByServer = new Map<string, Queued[]>();
  const pending = (serverId: string) => pendingByServer.get(serverId) ?? [];

  function dropOldest(): void {
    let excess = bytes - QUEUE_MAX_BYTES + DROP_ROOM_BYTES;
    const dropped: Queued[] = [];
    waiting = waiting.filter((entry) => {
      if (excess <= 0 || entry.batch.isKeptByAgent) return true;
      excess -= entry.bytes;
      dropped.push(entry);
      return false;
    });
    remove(dropped);
    if (dropped.length > 0) onDropped(dropped.map(({ batch }) => batch));
  }

  function remove(entries: readonly Queued[]): void {
    for (const entry of entries) bytes -= entry.bytes;
    const removed = new Set(entries);
    for (const serverId of new Set(entries.map(({ batch }) => batch.serverId))) {
      const left = pending(serverId).filter((entry) => !removed.has(entry));
      if (left.length > 0) pendingByServer.set(serverId, left);
      else pendingByServer.delete(serverId);
    }
    if (!isCrowded || bytes >= LOW_WATER_BYTES) return;
    isCrowded = false;
    onRelieved();
  }

  return {
    add(batch) {
      const size = sizeOf(batch);
      if (bytes + size > QUEUE_LIMIT_BYTES) return false;
      lastOrder += 1;
      const entry = { batch, bytes: size, order: lastOrder };
      waiting.push(entry);
      const earlier = pendingByServer.get(batch.serverId);
      if (earlier) earlier.push(entry);
      else pendingByServer.set(batch.serverId, [entry]);
      bytes += size;
      isCrowded ||= bytes > HIGH_WATER_BYTES;
      if (bytes > QUEUE_MAX_BYTES) dropOldest();
      return true;
    },
    take(limits) {
      let taken = 0;
      let lines = 0;
      let count = 0;
      for (const { batch, bytes: size } of waiting) {
        taken += size;
        lines += batch.gap ? 0 : batch.seq - batch.firstSeq + 1;
        if (count > 0 && (taken > limits.bytes || lines > limits.lines)) break;
        count += 1;
      }
      return waiting.splice(0, count);
    },
    remove,
    pending,
    length: () => waiting.length,
    bytes: () => bytes,
    isCrowded: () => isCrowded,
  };
}
