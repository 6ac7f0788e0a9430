import type { ConsoleLines } from '../events.js';
import type { ClientEvent, LogGapMessage } from '../protocol/client-messages.js';
import { encodeGap, encodeLines } from './frames.js';
import type { Outlet } from './outlet.js';

/**
 * Writing to a client takes some 7 µs, however little it is. So much time between two rounds a client keeps
 * sending below a third of ours: a thousand clients are written to every 20 ms at most, a hundred every 2 ms.
 */
const ROUND_MS_PER_CLIENT = 0.02;
const ROUND_MAX_MS = 25;
/** Of one round; beyond it the frames are sent at once. */
const ROUND_MAX_BYTES = 1024 * 1024;

/** One client's interest in one server. */
export interface Subscriber {
  readonly serverId: string;
  readonly outlet: Outlet;
  /** Fewer when the client may not watch some any more. */
  events: ReadonlySet<ClientEvent>;
  /** The next console line it needs, while it is not live. */
  nextSeq: number;
  /** `live` gets console lines as they come; `behind` catches up first; `ahead` has some of those to come already. */
  progress: 'live' | 'behind' | 'ahead' | 'left';
}

/** The clients that watch one server. Everybody who is live is at the same line. */
export interface Channel {
  readonly serverId: string;
  readonly members: ReadonlySet<Subscriber>;
  /** The number of the next line to come. */
  nextSeq(): number;
  /** @param nextSeq The next line to come, as far as the console knows. */
  join(subscriber: Subscriber, nextSeq: number): void;
  leave(subscriber: Subscriber): void;
  /** From now on it gets what comes: it has everything before. */
  goLive(subscriber: Subscriber): void;
  /**
   * It has lines that the channel has not seen: a panel that was killed had sent them before they were stored. The agent
   * sends them again, to everybody else.
   */
  waitAhead(subscriber: Subscriber): void;
  publishLines(lines: ConsoleLines): void;
  publishGap(gap: Omit<LogGapMessage, 'type'>): void;
  /** Sends the console frames that wait now, so that what is sent next comes after them. */
  flush(): void;
}

export function createChannel({
  serverId,
  onBehind,
}: {
  serverId: string;
  /** The client could not take what was sent to it; its `nextSeq` says from where on. */
  onBehind(subscriber: Subscriber): void;
}): Channel {
  const members = new Set<Subscriber>();
  const live = new Set<Subscriber>();
  const ahead = new Set<Subscriber>();
  let nextSeq = 0;
  /** What has come since the last round: one write a client for all of it. */
  let frames: Buffer[] = [];
  let framesBytes = 0;
  let framesFirstSeq = 0;
  let flushedAtMs = 0;

  function flush(): void {
    if (frames.length === 0) return;
    flushedAtMs = performance.now();
    const [only] = frames;
    const sent = only && frames.length === 1 ? only : Buffer.concat(frames);
    frames = [];
    framesBytes = 0;
    for (const subscriber of live) {
      if (!subscriber.outlet.sendFrames(sent)) fallBehind(subscriber, framesFirstSeq);
    }
  }

  function fallBehind(subscriber: Subscriber, fromSeq: number): void {
    live.delete(subscriber);
    ahead.delete(subscriber);
    subscriber.nextSeq = fromSeq;
    subscriber.progress = 'behind';
    onBehind(subscriber);
  }

  /** Lines that went past this channel: whoever needs them looks them up. */
  function skipTo(seq: number): void {
    flush();
    const fromSeq = nextSeq;
    nextSeq = seq;
    for (const subscriber of [...live]) fallBehind(subscriber, fromSeq);
  }

  /** Answers whether the range is new to the channel. */
  function advance(firstSeq: number, lastSeq: number): boolean {
    if (lastSeq < nextSeq) return false;
    if (firstSeq > nextSeq && nextSeq > 0) skipTo(firstSeq);
    nextSeq = lastSeq + 1;
    for (const subscriber of ahead) {
      if (nextSeq >= subscriber.nextSeq) fallBehind(subscriber, subscriber.nextSeq);
    }
    return live.size > 0;
  }

  function scheduleFlush(): void {
    const roundMs = Math.min(live.size * ROUND_MS_PER_CLIENT, ROUND_MAX_MS);
    const waitMs = flushedAtMs + roundMs - performance.now();
    if (waitMs > 0) setTimeout(flush, waitMs);
    else setImmediate(flush);
  }

  function push(frame: Buffer, firstSeq: number): void {
    if (frames.length === 0) {
      framesFirstSeq = firstSeq;
      scheduleFlush();
    }
    frames.push(frame);
    framesBytes += frame.length;
    if (framesBytes > ROUND_MAX_BYTES) flush();
  }

  return {
    serverId,
    members,
    nextSeq: () => nextSeq,
    join(subscriber, consoleNextSeq) {
      if (consoleNextSeq > nextSeq) skipTo(consoleNextSeq);
      members.add(subscriber);
    },
    leave(subscriber) {
      subscriber.progress = 'left';
      members.delete(subscriber);
      live.delete(subscriber);
      ahead.delete(subscriber);
    },
    goLive(subscriber) {
      flush();
      subscriber.progress = 'live';
      live.add(subscriber);
    },
    waitAhead(subscriber) {
      subscriber.progress = 'ahead';
      ahead.add(subscriber);
    },
    publishLines(lines) {
      if (advance(lines.firstSeq, lines.seq)) push(encodeLines(lines), lines.firstSeq);
    },
    publishGap(gap) {
      if (advance(gap.from, gap.to)) push(encodeGap(gap), gap.from);
    },
    flush,
  };
}
