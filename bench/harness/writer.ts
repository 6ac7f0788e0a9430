import { CONSOLE_BATCH_MAX_BYTES, CONSOLE_BATCH_MS } from '../../src/protocol/limits.js';
import { consoleLine, monotonicMs } from './lines.js';
import type { Outbox } from './outbox.js';

/** The simulated game writes this often; what has gathered is sent every CONSOLE_BATCH_MS. */
const WRITE_INTERVAL_MS = 5;

export interface Load {
  durationMs: number;
  lineBytes: number;
  /** Null: as fast as the window, and `undeliveredMaxLines`, allow. */
  linesPerSecond: number | null;
  /** Send batches of exactly so many lines; null: what has gathered, every CONSOLE_BATCH_MS. */
  batchLines: number | null;
  /** Write no more while so many lines have not reached the slowest subscriber. */
  undeliveredMaxLines: number | null;
}

export interface WriterOptions {
  load: Load;
  outbox: Outbox;
  /** The last line that every subscriber has. */
  deliveredSeq(): number;
  isStopped(): boolean;
}

/** Plays a game that writes to its console; settles when it has written for `durationMs`. */
export function playGame(options: WriterOptions): Promise<void> {
  const { load, outbox } = options;
  const startedAt = monotonicMs();
  const isBatching = load.linesPerSecond !== null || load.batchLines !== null;
  let written = 0;
  let flushedAt = startedAt;

  function tick(): boolean {
    const now = monotonicMs();
    const elapsedMs = Math.min(now - startedAt, load.durationMs);
    const due = Math.floor((elapsedMs * (load.linesPerSecond ?? 0)) / 1000) - written;
    const count = load.linesPerSecond === null ? roomLines(options) : due;
    writeLines(outbox, count, load);
    written += count;
    // A timer may be a little early.
    if (load.batchLines !== null || now - flushedAt >= CONSOLE_BATCH_MS - 1) {
      outbox.flush();
      flushedAt = now;
    }
    return elapsedMs < load.durationMs && !options.isStopped();
  }

  return new Promise((resolve) => {
    const timer = setInterval(
      () => {
        if (tick()) return;
        clearInterval(timer);
        resolve();
      },
      isBatching ? WRITE_INTERVAL_MS : CONSOLE_BATCH_MS,
    );
  });
}

/** How many lines may be written now when nothing but the other side limits the speed. */
function roomLines({ load, outbox, deliveredSeq }: WriterOptions): number {
  const windowLines = Math.floor(outbox.roomBytes() / load.lineBytes);
  const undelivered = outbox.lastSeq() - deliveredSeq();
  const allowed = Math.min(windowLines, (load.undeliveredMaxLines ?? Number.POSITIVE_INFINITY) - undelivered);
  if (load.batchLines !== null) return Math.max(0, allowed - (allowed % load.batchLines));
  return Math.max(0, Math.min(allowed, Math.floor(CONSOLE_BATCH_MAX_BYTES / load.lineBytes)));
}

function writeLines(outbox: Outbox, count: number, { lineBytes, batchLines }: Load): void {
  const now = monotonicMs();
  const pieceLines = batchLines ?? Math.floor(CONSOLE_BATCH_MAX_BYTES / lineBytes);
  for (let left = count; left > 0; left -= pieceLines) {
    const size = Math.min(left, pieceLines);
    const first = outbox.lastSeq() + 1;
    let text = '';
    for (let number = first; number < first + size; number += 1) text += consoleLine(number, now, lineBytes);
    outbox.add(text, size);
    if (batchLines !== null) outbox.flush();
  }
}
