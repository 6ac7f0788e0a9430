import type { Readable } from 'node:stream';

/** A part of a file that is fetched in one go, and read while it comes. */
export interface Stretch {
  readonly offset: number;
  /** What was asked for; at the end of the file less comes. */
  readonly length: number;
  /** Whether it has, or will have, the byte at this place. */
  covers(offset: number): boolean;
  /** As soon as it has come: fewer bytes where the stretch ends, none at the end of the file. Null: it was given up. */
  read(offset: number, length: number): Promise<Buffer | null>;
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
  const bytes = Buffer.allocUnsafeSlow(length);
  let received = 0;
  let isDone = false;
  let failure: unknown;
  let usedBytes = 0;
  let waiting: Waiting[] = [];

  function wake(): void {
    const ready = waiting.filter(({ end }) => isDone || received >= end);
    if (ready.length === 0) return;
    waiting = waiting.filter(({ end }) => !isDone && received < end);
    for (const { settle } of ready) settle();
  }

  async function receive(): Promise<void> {
    const source = await fetch(aborting.signal);
    await new Promise<void>((resolve, reject) => {
      source.on('data', (piece: Buffer) => {
        received += piece.copy(bytes, received);
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
    covers: (place) => place >= offset && place < offset + (isDone ? received : length),
    async read(place, wanted) {
      const start = place - offset;
      const end = Math.min(start + wanted, length);
      if (received < end && !isDone) {
        await new Promise<void>((settle) => waiting.push({ end, settle }));
      }
      if (received < end && aborting.signal.aborted) return null;
      if (received < end && failure !== undefined) throw failure;
      const found = bytes.subarray(start, Math.max(start, Math.min(end, received)));
      usedBytes += found.length;
      return found;
    },
    isUsedUp: () => usedBytes >= (isDone ? received : length),
    ageMs: () => performance.now() - begunAtMs,
    giveUp() {
      if (received < length) aborting.abort(new Error('What was fetched ahead is not needed.'));
    },
  };
}
