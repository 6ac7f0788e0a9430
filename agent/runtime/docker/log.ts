import type Docker from 'dockerode';
import { callEngine } from './call.js';
import { createFrameReader, type LogEntry } from './frames.js';

const OPEN_TIMEOUT_MS = 30_000;

/** The engine's log of a container being read once. */
export interface LogReading {
  pause(): void;
  resume(): void;
  /** End the reading early: `ended` becomes false. */
  interrupt(): void;
  /** True when the engine said that this was all; rejects when the connection broke. */
  readonly ended: Promise<boolean>;
}

/**
 * Read a container's log: what the engine still has since then (all for null), and what comes. While the container
 * runs this does not end by itself, unless `onEntries` answers false.
 */
export async function readLog(
  container: Docker.Container,
  since: string | null,
  onEntries: (entries: LogEntry[]) => boolean,
): Promise<LogReading> {
  const control = new AbortController();
  const timer = setTimeout(
    () => control.abort(new Error('the engine does not open the log')),
    OPEN_TIMEOUT_MS,
  );
  const stream = await container
    .logs({
      follow: true,
      stdout: true,
      stderr: true,
      timestamps: true,
      ...(since !== null && { since }),
      abortSignal: control.signal,
    })
    .finally(() => clearTimeout(timer));

  let isPaused = false;
  let failure: unknown = null;
  const frames = createFrameReader();
  const drain = () => {
    try {
      // Many of the engine's chunks, each of which is one entry, become one piece here.
      while (!isPaused && !control.signal.aborted) {
        const bytes = stream.read();
        if (!Buffer.isBuffer(bytes)) return;
        if (!onEntries(frames.read(bytes))) control.abort();
      }
    } catch (error) {
      failure = error;
      control.abort();
    }
  };

  const ended = new Promise<boolean>((resolve, reject) => {
    stream.on('readable', drain);
    stream.on('end', () => resolve(true));
    stream.on('error', (error) => {
      if (!control.signal.aborted) reject(error);
    });
    stream.on('close', () => (failure === null ? resolve(false) : reject(failure)));
  });

  return {
    pause() {
      isPaused = true;
    },
    resume() {
      isPaused = false;
      // Not here and now: the caller is in the middle of something, and may pause again.
      setImmediate(drain);
    },
    interrupt: () => control.abort(),
    ended,
  };
}

/** The time of the newest entry; empty when there is none. */
export async function newestLogTime(container: Docker.Container): Promise<string> {
  const bytes = await callEngine(container, (abortSignal) =>
    container.logs({ stdout: true, stderr: true, timestamps: true, tail: 1, abortSignal }),
  );
  return createFrameReader().read(bytes).at(-1)?.time ?? '';
}
