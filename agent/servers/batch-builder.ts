import type { LogStream } from '../../src/protocol/agent-messages.js';
import { CONSOLE_BATCH_MAX_BYTES } from '../../src/protocol/limits.js';
import type { ConsoleBatch, GapReason } from './console-batch.js';

/** Numbers lines and gathers them in batches of one stream each. */
export interface BatchBuilder {
  /** The number that was given last. */
  readonly lastSeq: number;
  readonly isEmpty: boolean;
  addLine(stream: LogStream, text: string, readAt: Date): void;
  /** A number for a line that will not come. */
  addGap(reason: GapReason): void;
  take(): ConsoleBatch[];
  /** Leave numbers out. Nothing may be waiting to be taken. */
  skip(count: number): void;
}

export function createBatchBuilder(initialSeq: number): BatchBuilder {
  let lastSeq = initialSeq;
  let batches: ConsoleBatch[] = [];
  return {
    get lastSeq() {
      return lastSeq;
    },
    get isEmpty() {
      return batches.length === 0;
    },
    addLine(stream, text, readAt) {
      lastSeq += 1;
      const batch = batches.at(-1);
      const timestamp = readAt.toISOString();
      const hasRoom = batch?.kind === 'lines' && batch.data.length + text.length < CONSOLE_BATCH_MAX_BYTES;
      if (hasRoom && batch.stream === stream) {
        batch.data += `${text}\n`;
        batch.lastSeq = lastSeq;
        batch.timestamp = timestamp;
      } else {
        batches.push({ kind: 'lines', stream, firstSeq: lastSeq, lastSeq, data: `${text}\n`, timestamp });
      }
    },
    addGap(reason) {
      lastSeq += 1;
      const batch = batches.at(-1);
      if (batch?.kind === 'gap' && batch.reason === reason) batch.lastSeq = lastSeq;
      else batches.push({ kind: 'gap', firstSeq: lastSeq, lastSeq, reason });
    },
    take() {
      const taken = batches;
      batches = [];
      return taken;
    },
    skip(count) {
      lastSeq += count;
    },
  };
}
