import type { Readable } from 'node:stream';
import { type Pieces, sliceOf } from './pieces.js';

/** A part of a file that is fetched in one go, and read while it comes. */
export interface Stretch {
  readonly offset: number;
  /** What was asked for; at the end of the file less comes. */
  readonly length: number;
  /** Whether it has, or will have, the byte at this place. */
  covers(offset: number): boolean;
  /** As soon as it has come: fewer bytes where the stretch ends, none at the end of the file. Null: it was given up. */
  read(offset: number, length: number): Promise<Pieces | null>;
  /** Somebody waits for what has not come yet. */
  isAwaited(): boolean;
  /** All of it was read. */
  isUsedUp(): boolean;
  /** Since it was asked for. */
  ageMs(): number;
  giveUp(): void;
}

interface Waiting {
  end: number;
  settle: () => void;
}

/** @param fetch Answers a stream of the bytes; aborting its signal ends it. */
export function createStretch({
  offset,
  length,
  fetch,
}: {
  offset: number;
  length: number;
  fetch: (signal: AbortSignal) => Promise<Readable>;
}): Stretch {
  const begunAtMs = performance.now();
  const aborting = new AbortController();
  const pieces: Pieces = [];
  let receivedBytes = 0;
  let usedBytes = 0;
  let isDone = false;
  let failure: unknown;
  let waiting: Waiting[] = [];

  const isThere = (end: number) => isDone || receivedBytes >= end;

  function wake(): void {
    const ready = waiting.filter(({ end }) => isThere(end));
    if (ready.length === 0) return;
    waiting = waiting.filter(({ end }) => !isThere(end));
    for (const { settle } of ready) settle();
  }

  async function receive(): Promise<void> {
    const source = await fetch(aborting.signal);
    await new Promise<void>((resolve, reject) => {
      source.on('data', (piece: Buffer) => {
        pieces.push(piece);
        receivedBytes += piece.length;
        wake();
      });
      source.once('error', reject);
      source.once('end', resolve);
    });
  }

  receive()
    .catch((error: unknown) => {
      failure = error;
    })
    .finally(() => {
      isDone = true;
      wake();
    });

  return {
    offset,
    length,
    covers: (place) => place >= offset && place < offset + (isDone ? receivedBytes : length),
    async read(place, wanted) {
      const start = place - offset;
      const end = Math.min(start + wanted, length);
      if (!isThere(end)) await new Promise<void>((settle) => waiting.push({ end, settle }));
      if (receivedBytes < end && aborting.signal.aborted) return null;
      if (receivedBytes < end && failure !== undefined) throw failure;
      usedBytes += Math.max(0, Math.min(end, receivedBytes) - start);
      return sliceOf(pieces, start, end - start);
    },
    isAwaited: () => waiting.length > 0,
    isUsedUp: () => usedBytes >= (isDone ? receivedBytes : length),
    ageMs: () => performance.now() - begunAtMs,
    giveUp() {
      if (receivedBytes < length) aborting.abort(new Error('What was fetched ahead is not needed.'));
    },
  };
}
