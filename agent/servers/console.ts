import type { Logger } from 'pino';
import type { AgentMessage, LogStream } from '../../src/protocol/agent-messages.js';
import { CONSOLE_BATCH_MS } from '../../src/protocol/limits.js';
import type { OutputChunk } from '../runtime/runtime.js';
import { createBatchBuilder } from './batch-builder.js';
import { after, type ConsoleBatch } from './console-batch.js';
import { createConsoleQueue } from './console-queue.js';
import { createConsoleSender } from './console-sender.js';
import { type JournalEntry, openJournal } from './journal.js';
import { toText } from './line-splitter.js';
import { createOutputSplitters } from './output-splitters.js';
import { createThrottle } from './throttle.js';

export interface ConsoleOptions {
  serverId: string;
  journalPath: string;
  /** What this console may hold that the panel has not acknowledged. */
  bufferLimitBytes(): number;
  /** False: the link has no room or is down; `pump` is called when that changes. */
  send(message: AgentMessage): boolean;
  log: Logger;
}

/** One server's numbered console: lines go in, numbered batches go to the panel until it has stored them. */
export interface Console {
  /** Where the runtime's output goes on after a restart of the agent. */
  readonly cursor: string | null;
  readonly lastSeq: number;
  write(chunk: OutputChunk): void;
  /** The lines of output from this number on that the panel has not acknowledged. */
  heldLines(fromSeq: number): string[];
  /** Show each line of output to `onLine`, the throttled ones too, until called with null. */
  watch(onLine: ((line: Buffer) => void) | null): void;
  /** Output was lost before it came here; it takes one number, because nobody knows how many lines it was. */
  lose(lostBytes: number | null): void;
  /** Lines of our own, marked `[Catalyst]`. */
  announce(text: string): void;
  /** A run begins or ends: what is unfinished is given out, and at a beginning the cursor is forgotten. */
  beginRun(): void;
  endRun(): void;
  /**
   * The link is up.
   * @param storedSeq The last line that the panel has; null when it did not say.
   * @param acknowledges Whether it will say what it has stored; else sent is as good as stored.
   */
  connect(storedSeq: number | null, acknowledges: boolean): void;
  acknowledge(seq: number): void;
  pump(): void;
  /** Send what has been gathered now, so that it comes before what is sent next. */
  flush(): void;
  /** Write down what is not sent, and let go of the file. */
  close(): void;
  /** As `close`, and remove the file. */
  destroy(): void;
}

/** Lines a second that a game may write for long, and at once. */
const THROTTLE_LINES_PER_SECOND = 10_000;
const THROTTLE_LINES_BURST = 20_000;
const THROTTLE_BYTES_PER_SECOND = 8 * 1024 * 1024;
const THROTTLE_BYTES_BURST = 16 * 1024 * 1024;
/** A line without an end is shown as it is when nothing more came for so long: it may be a prompt. */
const PARTIAL_LINE_IDLE_MS = 1000;

export function createConsole({
  serverId,
  journalPath,
  bufferLimitBytes,
  send,
  log,
}: ConsoleOptions): Console {
  const { journal, restored } = openJournal(journalPath, log);
  const queue = createConsoleQueue(bufferLimitBytes);
  for (const batch of restored?.batches ?? []) queue.push(batch);
  const lineThrottle = createThrottle(THROTTLE_LINES_PER_SECOND, THROTTLE_LINES_BURST);
  const byteThrottle = createThrottle(THROTTLE_BYTES_PER_SECOND, THROTTLE_BYTES_BURST);

  const builder = createBatchBuilder(restored?.seq ?? 0);
  let splitters = createOutputSplitters(restored?.tails ?? null);
  let cursor = restored?.cursor ?? null;
  const sender = createConsoleSender({ serverId, queue, builder, send });
  let isCursorMoved = false;
  let isWriting = false;
  let writeCount = 0;
  let watcher: ((line: Buffer) => void) | null = null;
  let flushedAtMs = 0;
  let flushTimer: NodeJS.Timeout | null = null;
  let partialTimer: NodeJS.Timeout | null = null;

  function addOutputLine(stream: LogStream, line: Buffer, readAt: Date) {
    if (lineThrottle.take(1) && byteThrottle.take(line.length)) builder.addLine(stream, toText(line), readAt);
    else builder.addGap('throttled');
    watcher?.(line);
  }

  /** The first lines after a pause go out at once; in a stream of them, every 25 ms. */
  function scheduleFlush() {
    const waitMs = flushedAtMs + CONSOLE_BATCH_MS - performance.now();
    // In the middle of a chunk the cursor is not yet behind the lines that were taken from it.
    if (waitMs <= 0 && !isWriting) flush();
    else flushTimer ??= setTimeout(flush, Math.max(0, waitMs));
  }

  function schedulePartialFlush() {
    if (!splitters.hasTail()) return;
    if (partialTimer === null) partialTimer = setTimeout(flushPartialLinesIfIdle, PARTIAL_LINE_IDLE_MS);
    else partialTimer.refresh();
  }

  /** When this process was busy for long, the rest of the line may be waiting to be read: that comes first. */
  function flushPartialLinesIfIdle() {
    const seenCount = writeCount;
    setImmediate(() => {
      if (writeCount === seenCount) flushPartialLines();
      else partialTimer?.refresh();
    });
  }

  function flushPartialLines() {
    if (partialTimer !== null) clearTimeout(partialTimer);
    partialTimer = null;
    const readAt = new Date();
    for (const stream of ['stdout', 'stderr'] as const) {
      splitters[stream].flush((line) => addOutputLine(stream, line, readAt));
    }
    scheduleFlush();
  }

  function flush() {
    if (flushTimer !== null) clearTimeout(flushTimer);
    flushTimer = null;
    if (builder.isEmpty || isWriting) return;
    flushedAtMs = performance.now();
    const batches = builder.take();
    journal.append(entryOf(batches));
    for (const batch of batches) queue.push(batch);
    isCursorMoved = false;
    journal.compactIfGrown(queue.sizeBytes, () => entryOf(queue.batches()));
    sender.pump();
  }

  function entryOf(batches: ConsoleBatch[]): JournalEntry {
    return { seq: builder.lastSeq, cursor, tails: splitters.tails(), batches };
  }

  return {
    get cursor() {
      return cursor;
    },
    get lastSeq() {
      return builder.lastSeq;
    },
    heldLines(fromSeq) {
      const batches = queue.batches().map((batch) => after(batch, fromSeq - 1));
      return batches.flatMap((batch) => (batch?.kind === 'lines' ? batch.data.split('\n') : []));
    },
    watch(onLine) {
      watcher = onLine;
    },
    write(chunk) {
      writeCount += 1;
      isWriting = true;
      splitters[chunk.stream].push(chunk.data, (line) => addOutputLine(chunk.stream, line, chunk.readAt));
      isWriting = false;
      cursor = chunk.cursor;
      isCursorMoved = true;
      if (!builder.isEmpty) scheduleFlush();
      schedulePartialFlush();
    },
    lose(lostBytes) {
      flushPartialLines();
      builder.addGap('buffer_overflow');
      const amount =
        lostBytes === null ? 'some output' : `about ${Math.ceil(lostBytes / 1024)} KiB of output`;
      builder.addLine(
        'system',
        `[Catalyst] The console could not keep up: ${amount} was skipped.`,
        new Date(),
      );
      scheduleFlush();
    },
    announce(text) {
      for (const line of text.split('\n')) builder.addLine('system', `[Catalyst] ${line}`, new Date());
      scheduleFlush();
    },
    beginRun() {
      flushPartialLines();
      flush();
      cursor = null;
      splitters = createOutputSplitters(null);
      journal.append(entryOf([]));
    },
    endRun() {
      flushPartialLines();
      flush();
      if (isCursorMoved) journal.append(entryOf([]));
    },
    connect(storedSeq, acknowledges) {
      // Nothing may go out before it is known where the panel is.
      sender.disconnect();
      flush();
      if (sender.reconcile(storedSeq ?? 0)) journal.replace(entryOf(queue.batches()));
      sender.connect(acknowledges);
    },
    acknowledge: sender.acknowledge,
    pump: sender.pump,
    flush,
    close() {
      flush();
      if (isCursorMoved) journal.append(entryOf([]));
      stopTimers();
      journal.close();
    },
    destroy() {
      stopTimers();
      journal.remove();
    },
  };

  function stopTimers() {
    if (flushTimer !== null) clearTimeout(flushTimer);
    if (partialTimer !== null) clearTimeout(partialTimer);
    sender.disconnect();
  }
}
