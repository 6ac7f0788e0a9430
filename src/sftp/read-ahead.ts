import type { Readable } from 'node:stream';
import type { FileHandleClient } from '../gateway/files.js';
import type { Flow } from './flow.js';
import { createKnown } from './known.js';
import { lengthOf, type Pieces } from './pieces.js';
import { createStretch, type Stretch } from './stretch.js';

/** Whoever reads so much in order will read on. */
const IN_ORDER_BYTES = 64 * 1024;
/** Twice as much each time that it was wanted soon, half as much when it was not. */
const STRETCH_MIN_BYTES = 128 * 1024;
const STRETCH_MAX_BYTES = 1024 * 1024;
const WANTED_SOON_MS = 250;
/** After this the file may have changed: what was fetched is fetched again, unless the node is slower than that. */
const FRESH_MS = 1000;

/** Reads of one open file. While they are in order, what comes next is fetched before it is asked for. */
export interface ReadAhead {
  /** Fewer bytes, or none, at the end of the file. */
  read(offset: number, length: number): Promise<Pieces>;
  /** Somebody has written: what was fetched does not count any more. */
  drop(): void;
}

export function createReadAhead({
  client,
  flow,
  signal,
}: {
  client: FileHandleClient;
  flow: Flow;
  signal: AbortSignal;
}): ReadAhead {
  let stretches: Stretch[] = [];
  let stretchBytes = STRETCH_MIN_BYTES;
  let nextOffset = 0;
  let inOrderBytes = 0;
  let changes = flow.changes();
  const end = createKnown<number, true>(flow);
  let dropTimer: NodeJS.Timeout | undefined;

  function forget(gone: (stretch: Stretch) => boolean): void {
    for (const stretch of stretches) {
      if (!gone(stretch)) continue;
      stretch.giveUp();
      flow.giveAhead(stretch.length);
    }
    stretches = stretches.filter((stretch) => !gone(stretch));
  }

  function drop(): void {
    clearTimeout(dropTimer);
    // One that was cleared never comes again, not even refreshed.
    dropTimer = undefined;
    signal.removeEventListener('abort', drop);
    forget(() => true);
  }

  /** What nobody asks for does not stay in memory. */
  function dropLater(): void {
    signal.addEventListener('abort', drop);
    if (dropTimer) dropTimer.refresh();
    else dropTimer = setTimeout(dropUnlessAwaited, FRESH_MS).unref();
  }

  function dropUnlessAwaited(): void {
    if (stretches.some((stretch) => stretch.isAwaited())) dropTimer?.refresh();
    else drop();
  }

  function find(offset: number): Stretch | undefined {
    return stretches.find((stretch) => stretch.covers(offset));
  }

  function begin(offset: number): Stretch | undefined {
    if (signal.aborted || !flow.takeAhead(stretchBytes)) return undefined;
    const fetch = (own: AbortSignal): Promise<Readable> =>
      client.readStream(offset, { length: stretchBytes, signal: own });
    const stretch = createStretch({ offset, length: stretchBytes, fetch });
    stretches.push(stretch);
    return stretch;
  }

  async function readPlainly(offset: number, length: number): Promise<Pieces> {
    const bytes = await client.read(offset, length, { signal });
    return bytes.length > 0 ? [bytes] : [];
  }

  /** What is at this place: none at the end of the file, and not more than comes of one fetching. */
  async function readSome(offset: number, length: number): Promise<Pieces> {
    const stretch = find(offset) ?? begin(offset);
    if (!stretch) return readPlainly(offset, length);
    const end = stretch.offset + stretch.length;
    const isHalfway = offset + length >= stretch.offset + stretch.length / 2;
    const mayGoOn = stretch.covers(end - 1);
    if (isHalfway && mayGoOn && !find(end)) begin(end);
    const pieces = await stretch.read(offset, length);
    if (pieces === null) return readPlainly(offset, length);
    if (stretch.isUsedUp()) {
      stretchBytes = nextSize(stretch);
      forget((one) => one === stretch);
    }
    return pieces;
  }

  function nextSize({ ageMs, length }: Stretch): number {
    const wasWantedSoon = ageMs() < WANTED_SOON_MS;
    return wasWantedSoon
      ? Math.max(stretchBytes, Math.min(STRETCH_MAX_BYTES, length * 2))
      : Math.max(STRETCH_MIN_BYTES, length / 2);
  }

  async function readInOrder(offset: number, length: number): Promise<Pieces> {
    const pieces: Pieces = [];
    let position = offset;
    while (position < offset + length) {
      const found = await readSome(position, offset + length - position);
      if (found.length === 0) break;
      pieces.push(...found);
      position += lengthOf(found);
    }
    return pieces;
  }

  return {
    async read(offset, length) {
      if (end.take(offset)) return [];
      if (changes !== flow.changes()) drop();
      changes = flow.changes();
      forget((stretch) => stretch.ageMs() > FRESH_MS && !stretch.isAwaited());
      const isInOrder = offset === nextOffset || find(offset) !== undefined;
      inOrderBytes = isInOrder ? inOrderBytes + length : 0;
      nextOffset = offset + length;
      if (!isInOrder) drop();
      const isAhead = inOrderBytes > IN_ORDER_BYTES;
      if (isAhead) dropLater();
      const pieces = await (isAhead ? readInOrder(offset, length) : readPlainly(offset, length));
      const foundBytes = lengthOf(pieces);
      if (foundBytes < length) {
        // The end of a file may move: it is looked for again the next time but one.
        inOrderBytes = 0;
        if (foundBytes > 0) end.hold(offset + foundBytes, true);
      }
      return pieces;
    },
    drop,
  };
}
