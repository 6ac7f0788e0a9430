import { createHistogram, type Histogram, record } from './histogram.js';
import { monotonicMs, writtenAtPattern } from './lines.js';
import { connectRawSubscriber, type RawSubscriber } from './raw-subscriber.js';

const CONNECT_TIMEOUT_MS = 30_000;
/** So many connect at once: a real crowd does not arrive in one packet, and the listen queue is finite. */
const WAVE_SIZE = 50;
/** In counting mode only the two ends of a message are read: they hold its line numbers. */
const COUNT_KEEP_BYTES = 1024;
const LATENCY_KEEP_BYTES = 4 * 1024 * 1024;

export interface SwarmOptions {
  url: string;
  serverId: string;
  subscribers: number;
  /** `count` looks at line numbers only, `latency` also at the time that each line was written. */
  mode: 'count' | 'latency';
}

export interface Progress {
  /** The last line that every subscriber has. */
  slowestSeq: number;
  /** Lines received, summed over the subscribers; likewise below. */
  delivered: number;
  /** Announced as a gap. */
  announced: number;
  /** Neither received nor announced: lost in silence. */
  missed: number;
  repeated: number;
  /** Connections that have ended. */
  ended: number;
}

interface Subscriber {
  connection: RawSubscriber;
  lastSeq: number;
}

export type SwarmRole = ReturnType<typeof createSwarmRole>;

/** Many subscribers of one server's console in one process. */
export function createSwarmRole() {
  let subscribers: Subscriber[] = [];
  let counts = emptyCounts();
  let latencies = createHistogram();

  function receive(subscriber: Subscriber, text: string, options: SwarmOptions, ready: () => void): void {
    if (text.includes('"type":"server_log"')) {
      account(subscriber, numberIn(text, 'firstSeq'), numberIn(text, 'seq'));
      if (options.mode === 'latency') recordLatencies(text);
    } else if (text.includes('"type":"log_gap"')) {
      const from = numberIn(text, 'from');
      const to = numberIn(text, 'to');
      counts.announced += Math.max(0, to - Math.max(from, subscriber.lastSeq + 1) + 1);
      counts.missed += Math.max(0, from - subscriber.lastSeq - 1);
      subscriber.lastSeq = Math.max(subscriber.lastSeq, to);
    } else if (text.includes('"type":"subscribed"')) {
      subscriber.lastSeq = numberIn(text, 'seq');
      ready();
    }
  }

  function account(subscriber: Subscriber, firstSeq: number, seq: number): void {
    const isNew = Math.max(firstSeq, subscriber.lastSeq + 1);
    counts.delivered += Math.max(0, seq - isNew + 1);
    counts.repeated += Math.max(0, Math.min(seq, subscriber.lastSeq) - firstSeq + 1);
    counts.missed += Math.max(0, firstSeq - subscriber.lastSeq - 1);
    subscriber.lastSeq = Math.max(subscriber.lastSeq, seq);
  }

  function recordLatencies(text: string): void {
    const now = monotonicMs();
    for (const match of text.matchAll(writtenAtPattern)) record(latencies, now - Number(match[1]) / 1000);
  }

  function join(options: SwarmOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const subscribe = { type: 'subscribe', serverId: options.serverId, events: ['server_log'] };
      const subscriber: Subscriber = {
        lastSeq: 0,
        connection: connectRawSubscriber({
          url: options.url,
          messages: [JSON.stringify(subscribe)],
          keepBytes: options.mode === 'count' ? COUNT_KEEP_BYTES : LATENCY_KEEP_BYTES,
          onText: (text) => receive(subscriber, text, options, resolve),
          onEnd(reason) {
            counts.ended += 1;
            reject(new Error(`A subscriber was not let in: ${reason}`));
          },
        }),
      };
      subscribers.push(subscriber);
    });
  }

  return {
    /** Settles when every subscriber has been told that it is subscribed. */
    async connect(options: SwarmOptions): Promise<void> {
      const timeout = setTimeout(() => process.exit(1), CONNECT_TIMEOUT_MS);
      counts = emptyCounts();
      for (let left = options.subscribers; left > 0; left -= WAVE_SIZE) {
        await Promise.all(Array.from({ length: Math.min(left, WAVE_SIZE) }, () => join(options)));
      }
      clearTimeout(timeout);
    },
    progress(): Progress {
      let slowestSeq = Number.POSITIVE_INFINITY;
      for (const { lastSeq } of subscribers) slowestSeq = Math.min(slowestSeq, lastSeq);
      return { slowestSeq, ...counts };
    },
    /** What was recorded since the last call. */
    takeLatencies(): Histogram {
      const taken = latencies;
      latencies = createHistogram();
      return taken;
    },
    /** Reads no more; what the panel sends stays in the sockets. */
    pause(): void {
      for (const { connection } of subscribers) connection.pause();
    },
    resume(): void {
      for (const { connection } of subscribers) connection.resume();
    },
    close(): void {
      for (const { connection } of subscribers) connection.close();
      subscribers = [];
    },
  };
}

function emptyCounts() {
  return { delivered: 0, announced: 0, missed: 0, repeated: 0, ended: 0 };
}

/** A number of the message itself: inside `data` every quotation mark is escaped, so the key cannot be found there. */
function numberIn(text: string, key: string): number {
  const start = text.indexOf(`"${key}":`);
  if (start === -1) throw new Error(`A message without "${key}": ${text.slice(0, 200)}`);
  return Number.parseInt(text.slice(start + key.length + 3, start + key.length + 20), 10);
}
