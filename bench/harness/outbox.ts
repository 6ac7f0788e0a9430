import { setTimeout as delay } from 'node:timers/promises';
import { CONSOLE_BATCH_MAX_BYTES } from '../../src/protocol/limits.js';
import { monotonicMs } from './lines.js';

/** What a server has written and the panel has not taken; then the oldest lines are given up. */
const WAITING_MAX_BYTES = 8 * 1024 * 1024;
const DRAIN_POLL_MS = 5;

interface Piece {
  text: string;
  firstSeq: number;
  seq: number;
}

export interface OutboxOptions {
  startSeq: number;
  /** What may be sent and not yet acknowledged. */
  windowBytes: number;
  send(message: object): void;
}

export interface OutboxCounts {
  /** Written but never sent, because the panel took no more: announced as gaps. */
  droppedLines: number;
  /** How long lines waited because the window was closed: the panel slowed this agent down. */
  blockedMs: number;
  unacknowledgedMaxBytes: number;
}

export type Outbox = ReturnType<typeof createOutbox>;

/** Numbers lines, sends them in batches while the window has room, and announces what it had to give up. */
export function createOutbox({ startSeq, windowBytes, send }: OutboxOptions) {
  let lastSeq = startSeq;
  let waiting: Piece[] = [];
  let waitingBytes = 0;
  const sent: { seq: number; bytes: number }[] = [];
  let sentBytes = 0;
  let closedSince: number | null = null;
  let counts = noCounts();

  function sendBatch(pieces: Piece[]): void {
    const firstPiece = pieces[0];
    const lastPiece = pieces.at(-1);
    if (!firstPiece || !lastPiece) return;
    const data = pieces.map(({ text }) => text).join('');
    const { seq } = lastPiece;
    sent.push({ seq, bytes: data.length });
    sentBytes += data.length;
    waitingBytes -= data.length;
    counts.unacknowledgedMaxBytes = Math.max(counts.unacknowledgedMaxBytes, sentBytes);
    const timestamp = new Date().toISOString();
    send({ type: 'console_output', stream: 'stdout', data, seq, firstSeq: firstPiece.firstSeq, timestamp });
  }

  function dropOldest(): void {
    const dropped = waiting.splice(0, Math.ceil(waiting.length / 2));
    const firstPiece = dropped[0];
    const lastPiece = dropped.at(-1);
    if (!firstPiece || !lastPiece) return;
    for (const { text } of dropped) waitingBytes -= text.length;
    counts.droppedLines += lastPiece.seq - firstPiece.firstSeq + 1;
    send({ type: 'console_gap', from: firstPiece.firstSeq, to: lastPiece.seq, reason: 'buffer_overflow' });
  }

  function flush(): void {
    while (waiting.length > 0 && sentBytes < windowBytes) {
      let size = 0;
      let bytes = 0;
      for (const { text } of waiting) {
        if (size > 0 && bytes + text.length > CONSOLE_BATCH_MAX_BYTES) break;
        size += 1;
        bytes += text.length;
      }
      sendBatch(waiting.slice(0, size));
      waiting = waiting.slice(size);
    }
    noteBlocking(waiting.length > 0);
  }

  function noteBlocking(isClosed: boolean): void {
    const now = monotonicMs();
    if (isClosed) closedSince ??= now;
    else if (closedSince !== null) {
      counts.blockedMs += now - closedSince;
      closedSince = null;
    }
  }

  return {
    lastSeq: () => lastSeq,
    roomBytes: () => Math.max(0, windowBytes - sentBytes - waitingBytes),
    /** @param text `count` whole lines. */
    add(text: string, count: number): void {
      waiting.push({ text, firstSeq: lastSeq + 1, seq: lastSeq + count });
      lastSeq += count;
      waitingBytes += text.length;
      if (waitingBytes > WAITING_MAX_BYTES) dropOldest();
    },
    flush,
    acknowledge(seq: number): void {
      while (sent[0] && sent[0].seq <= seq) sentBytes -= sent.shift()?.bytes ?? 0;
      if (closedSince !== null) flush();
    },
    /** Settles when everything was acknowledged. */
    async drain(timeoutMs: number): Promise<void> {
      const deadline = monotonicMs() + timeoutMs;
      while (sent.length > 0 || waiting.length > 0) {
        flush();
        await delay(DRAIN_POLL_MS);
        if (monotonicMs() > deadline) throw new Error(`${sentBytes} bytes were never acknowledged.`);
      }
    },
    /** Since the last call. */
    takeCounts(): OutboxCounts {
      noteBlocking(false);
      const taken = counts;
      counts = noCounts();
      return taken;
    },
  };
}

function noCounts(): OutboxCounts {
  return { droppedLines: 0, blockedMs: 0, unacknowledgedMaxBytes: 0 };
}
