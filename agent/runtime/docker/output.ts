import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import type { Logger } from 'pino';
import type { OutputListener } from '../runtime.js';
import { isMissing } from './errors.js';
import type { LogEntry } from './frames.js';
import { type LogReading, newestLogTime, readLog } from './log.js';
import { createLogPosition } from './position.js';

export interface OutputFollower {
  pause(): void;
  resume(): void;
  /** The container has ended: settles when everything that the engine has of its output was handed over. */
  finish(): Promise<void>;
  stop(): void;
}

/** A pause longer than this lets go of the engine's stream; the log is read again from the position then. */
const PAUSE_HELD_MS = 1000;
/** After so long without output the engine is asked, once and then now and then, whether there really is none. */
const SILENCE_MS = 1000;
const SILENCE_RECHECK_MS = 60_000;
/** A step in the log's time may be a skipped file when the stream was that far behind before it. */
const STEP_MS = 100;
const BEHIND_MS = 500;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5000;
const FOREVER_MS = 2 ** 31 - 1;
/** Entries written within the same hundredth of a second are handed over together. */
const HUNDREDTH_LENGTH = '2026-01-01T00:00:00.00'.length;

/**
 * Follows what a container writes, from the cursor on, until `finish` or `stop`. The engine's stream alone is not
 * trusted: it ends when the engine restarts, and engines before 24 may stall or skip a file when a log rotates.
 * So whatever looks like that makes the log be read again from the last entry handed over, which neither loses
 * nor repeats any (see position.ts).
 */
export function followOutput(options: {
  container: Docker.Container;
  cursor: string | null;
  listener: OutputListener;
  log: Logger;
}): OutputFollower {
  const { container, listener, log } = options;
  const position = createLogPosition(container.id, options.cursor);
  let reading: LogReading | null = null;
  let nap = new AbortController();
  let isPaused = false;
  let hasEnded = false;
  let isStopped = false;
  /** When the reading began, and when its last entry came. */
  let openedAtMs = 0;
  let receivedAtMs = 0;
  let pauseTimer: NodeJS.Timeout | undefined;
  let silenceTimer: NodeJS.Timeout | undefined;
  let silenceCheckedAtMs = 0;

  const done = run();
  return {
    pause() {
      if (isPaused) return;
      isPaused = true;
      reading?.pause();
      pauseTimer = setTimeout(() => reading?.interrupt(), PAUSE_HELD_MS);
    },
    resume() {
      if (!isPaused) return;
      isPaused = false;
      clearTimeout(pauseTimer);
      reading?.resume();
      nap.abort();
    },
    finish() {
      hasEnded = true;
      nap.abort();
      return done;
    },
    stop() {
      isStopped = true;
      reading?.interrupt();
      nap.abort();
    },
  };

  async function run(): Promise<void> {
    let retryMs = RETRY_MIN_MS;
    while (!isStopped) {
      if (isPaused) {
        await wait(FOREVER_MS);
        continue;
      }
      // Only a reading that began after the container's end is sure to have all of it.
      const isLast = hasEnded;
      try {
        const isComplete = await readFromPosition();
        if (isComplete && isLast) break;
        retryMs = RETRY_MIN_MS;
        if (isComplete && !hasEnded) await wait(retryMs);
      } catch (error) {
        if (isMissing(error)) break;
        if (isStopped) break;
        log.warn({ error, containerId: container.id }, 'reading the output failed, trying again');
        await wait(retryMs);
        retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
      }
    }
    clearTimeout(pauseTimer);
  }

  /** Until something changes, or the time is over. */
  async function wait(timeMs: number): Promise<void> {
    nap = new AbortController();
    await sleep(timeMs, undefined, { signal: nap.signal }).catch(() => undefined);
  }

  async function readFromPosition(): Promise<boolean> {
    openedAtMs = Date.now();
    position.rewind();
    try {
      reading = await readLog(container, position.since(), handOver);
      silenceCheckedAtMs = 0;
      if (isPaused) reading.pause();
      if (isStopped) reading.interrupt();
      silenceTimer = setInterval(checkSilence, SILENCE_MS);
      return await reading.ended;
    } finally {
      clearInterval(silenceTimer);
      reading = null;
    }
  }

  /** False when the log should rather be read again from the position. */
  function handOver(entries: LogEntry[]): boolean {
    const nowMs = Date.now();
    const group: LogEntry[] = [];
    const flush = () => {
      const last = group.at(-1);
      if (last === undefined) return;
      const data = group.length === 1 ? last.data : Buffer.concat(group.map((entry) => entry.data));
      group.length = 0;
      listener.onOutput({
        stream: last.stream,
        data,
        readAt: new Date(last.time),
        cursor: position.cursor(),
      });
    };
    for (const entry of entries) {
      const isSeparate = group[0] === undefined || !belongTogether(group[0], entry);
      if (isSeparate || position.isCatchingUp()) flush();
      if (isSeparate && mayHaveSkipped(entry)) return false;
      if (!position.take(entry)) continue;
      if (position.takeLoss()) listener.onOutputLost(null);
      group.push(entry);
      receivedAtMs = nowMs;
    }
    flush();
    silenceCheckedAtMs = 0;
    silenceTimer?.refresh();
    return true;
  }

  /** Only what was written after the reading began came by way of following, and only that can miss a file. */
  function mayHaveSkipped(entry: LogEntry): boolean {
    const lastMs = Date.parse(position.lastTime());
    const wasBehind = receivedAtMs - lastMs > BEHIND_MS;
    return wasBehind && lastMs > openedAtMs && Date.parse(entry.time) - lastMs > STEP_MS;
  }

  async function checkSilence(): Promise<void> {
    const current = reading;
    if (isPaused || current === null) return;
    if (hasEnded) return current.interrupt();
    if (Date.now() - silenceCheckedAtMs < SILENCE_RECHECK_MS) return;
    silenceCheckedAtMs = Date.now();
    try {
      if ((await newestLogTime(container)) > position.lastTime()) current.interrupt();
    } catch (error) {
      log.debug({ error, containerId: container.id }, 'the newest output could not be asked for');
    }
  }
}

function belongTogether(first: LogEntry, next: LogEntry): boolean {
  return (
    first.stream === next.stream &&
    first.time.slice(0, HUNDREDTH_LENGTH) === next.time.slice(0, HUNDREDTH_LENGTH)
  );
}
