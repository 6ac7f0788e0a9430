import type { LogStream } from '../../protocol/agent-messages.js';
import type { LogGapMessage } from '../../protocol/client-messages.js';
import { offsetOfLine } from './lines.js';

export type GapReason = LogGapMessage['reason'];

/** Accepted and numbered console lines of one stream on their way into the database. */
export interface LogBatch {
  serverId: string;
  nodeId: string;
  firstSeq: number;
  seq: number;
  /** Of the first line; each further line is one later. */
  microseconds: number;
  stream: LogStream;
  /** Whole lines, each ended by \n; empty when the numbers are a gap. */
  data: string;
  /** Set when the lines of these numbers never came. */
  gap?: GapReason;
  /** The agent keeps the lines until they are acknowledged, so that they are never thrown away here. */
  isKeptByAgent: boolean;
}

/** More lines than these are stored in several statements. */
const BATCH_MAX_LINES = 10_000;
/** What an entry costs beside its text, so that a million short lines count for what they take. */
const OVERHEAD_BYTES = 300;

export function sizeOf(batch: LogBatch): number {
  return OVERHEAD_BYTES + batch.data.length;
}

/** The part of the batch from line `seq` on. */
export function batchFrom(batch: LogBatch, seq: number): LogBatch {
  if (seq <= batch.firstSeq) return batch;
  if (batch.gap) return { ...batch, firstSeq: seq };
  const skipped = seq - batch.firstSeq;
  return {
    ...batch,
    firstSeq: seq,
    microseconds: batch.microseconds + skipped,
    data: batch.data.slice(offsetOfLine(batch.data, skipped)),
  };
}

/** The same lines in pieces of a size that one statement stores in good time. */
export function splitBatch(batch: LogBatch): LogBatch[] {
  const pieces: LogBatch[] = [];
  let rest = batch;
  while (!rest.gap && rest.seq - rest.firstSeq >= BATCH_MAX_LINES) {
    const nextSeq = rest.firstSeq + BATCH_MAX_LINES;
    const data = rest.data.slice(0, offsetOfLine(rest.data, BATCH_MAX_LINES));
    pieces.push({ ...rest, seq: nextSeq - 1, data });
    rest = batchFrom(rest, nextSeq);
  }
  return [...pieces, rest];
}
