import { z } from 'zod';
import { type AgentMessage, LogStream } from '../../src/protocol/agent-messages.js';

/** A run of numbered console lines of one stream, or of numbers whose lines were dropped. */
export const ConsoleBatch = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('lines'),
    stream: LogStream,
    firstSeq: z.number().int().positive(),
    lastSeq: z.number().int().positive(),
    /** Each line ended by \n. */
    data: z.string(),
    /** When the last line was read. */
    timestamp: z.iso.datetime(),
  }),
  z.object({
    kind: z.literal('gap'),
    firstSeq: z.number().int().positive(),
    lastSeq: z.number().int().positive(),
    reason: z.enum(['throttled', 'buffer_overflow', 'agent_restarted']),
  }),
]);
export type ConsoleBatch = z.infer<typeof ConsoleBatch>;
export type GapReason = Extract<ConsoleBatch, { kind: 'gap' }>['reason'];

/** What an entry costs beside its text, so that a million short lines count for what they take. */
const OVERHEAD_BYTES = 200;

export function sizeOf(batch: ConsoleBatch): number {
  return OVERHEAD_BYTES + (batch.kind === 'lines' ? batch.data.length : 0);
}

export function toMessage(serverId: string, batch: ConsoleBatch): AgentMessage {
  if (batch.kind === 'gap') {
    return { type: 'console_gap', serverId, from: batch.firstSeq, to: batch.lastSeq, reason: batch.reason };
  }
  const { stream, data, firstSeq, lastSeq, timestamp } = batch;
  return { type: 'console_output', serverId, stream, data, seq: lastSeq, firstSeq, timestamp };
}

/** The part of the batch after line `seq`; null when nothing is left. */
export function after(batch: ConsoleBatch, seq: number): ConsoleBatch | null {
  if (batch.lastSeq <= seq) return null;
  if (batch.firstSeq > seq) return batch;
  if (batch.kind === 'gap') return { ...batch, firstSeq: seq + 1 };
  const lines = batch.data.split('\n').slice(seq + 1 - batch.firstSeq);
  return { ...batch, firstSeq: seq + 1, data: lines.join('\n') };
}

export function shift(batch: ConsoleBatch, by: number): ConsoleBatch {
  return { ...batch, firstSeq: batch.firstSeq + by, lastSeq: batch.lastSeq + by };
}
