import { CONSOLE_WINDOW_BYTES } from '../../src/protocol/limits.js';
import { after, type ConsoleBatch, shift, sizeOf } from './console-batch.js';

/** The lines that the panel has not acknowledged, oldest first: those sent, then those waiting. */
export interface ConsoleQueue {
  readonly sizeBytes: number;
  batches(): ConsoleBatch[];
  push(batch: ConsoleBatch): void;
  /** The next batch to send, if the window allows; then it counts as sent. */
  takeNext(): ConsoleBatch | null;
  /** Forget what the panel has. Only what was sent can be acknowledged. */
  acknowledge(seq: number): void;
  /** The connection is new: everything goes again, but for what the panel says it has. */
  rewind(storedSeq: number): void;
  /** Before anything was sent on this connection: send this first. */
  prepend(batch: ConsoleBatch): void;
  /** Give the lines after number `fromSeq` numbers that are higher by `by`. */
  renumber(fromSeq: number, by: number): void;
}

/**
 * @param limitBytes Asked each time, because servers share the memory. What overflows is dropped from the
 *   oldest that was not sent yet, and a gap takes its place.
 */
export function createConsoleQueue(limitBytes: () => number): ConsoleQueue {
  let queue: ConsoleBatch[] = [];
  let sentCount = 0;
  let sentBytes = 0;
  let sizeBytes = 0;

  function replace(batches: ConsoleBatch[]) {
    queue = batches;
    sizeBytes = queue.reduce((sum, batch) => sum + sizeOf(batch), 0);
    sentCount = 0;
    sentBytes = 0;
  }

  function dropOldest() {
    // A little more than needed, so that the cost of moving the queue is shared by many batches.
    const targetBytes = limitBytes() * 0.9;
    let dropCount = 0;
    while (sizeBytes > targetBytes && sentCount + dropCount < queue.length - 1) {
      sizeBytes -= sizeOf(queue[sentCount + dropCount] as ConsoleBatch);
      dropCount += 1;
    }
    const first = queue[sentCount];
    const last = queue[sentCount + dropCount - 1];
    if (dropCount === 0 || first === undefined || last === undefined) return;
    const gap: ConsoleBatch = {
      kind: 'gap',
      firstSeq: first.firstSeq,
      lastSeq: last.lastSeq,
      reason: 'buffer_overflow',
    };
    queue.splice(sentCount, dropCount, gap);
    sizeBytes += sizeOf(gap);
  }

  return {
    get sizeBytes() {
      return sizeBytes;
    },
    batches: () => queue,
    push(batch) {
      queue.push(batch);
      sizeBytes += sizeOf(batch);
      if (sizeBytes > limitBytes()) dropOldest();
    },
    takeNext() {
      const batch = queue[sentCount];
      if (batch === undefined || sentBytes >= CONSOLE_WINDOW_BYTES) return null;
      sentCount += 1;
      sentBytes += sizeOf(batch);
      return batch;
    },
    acknowledge(seq) {
      let count = 0;
      for (const batch of queue) {
        if (count === sentCount || batch.lastSeq > seq) break;
        sentBytes -= sizeOf(batch);
        sizeBytes -= sizeOf(batch);
        count += 1;
      }
      queue.splice(0, count);
      sentCount -= count;
    },
    rewind(storedSeq) {
      replace(queue.map((batch) => after(batch, storedSeq)).filter((batch) => batch !== null));
    },
    prepend(batch) {
      replace([batch, ...queue]);
    },
    renumber(fromSeq, by) {
      replace(queue.map((batch) => (batch.firstSeq > fromSeq ? shift(batch, by) : batch)));
    },
  };
}
