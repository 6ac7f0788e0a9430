import { createHistogram, type Histogram, record } from './histogram.js';
import { createLineAccount, type LineAccount, type LineCounts, noLines } from './line-account.js';
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

export interface Progress extends LineCounts {
  /** The last line that every subscriber has. */
  slowestSeq: number;
  /** Connections that have ended. */
  ended: number;
}

interface Subscriber {
  connection: RawSubscriber;
  account: LineAccount;
}

export type SwarmRole = ReturnType<typeof createSwarmRole>;

/** Many subscribers of one server's console in one process. */
export function createSwarmRole() {
  let subscribers: Subscriber[] = [];
  let latencies = createHistogram();
  const counts = noLines();
  let ended = 0;

  function recordLatencies(text: string): void {
    const now = monotonicMs();
    for (const match of text.matchAll(writtenAtPattern)) record(latencies, now - Number(match[1]) / 1000);
  }

  function join({ url, serverId, mode }: SwarmOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const account = createLineAccount(counts);
      const connection = connectRawSubscriber({
        url,
        messages: [JSON.stringify({ type: 'subscribe', serverId, events: ['server_log'] })],
        keepBytes: mode === 'count' ? COUNT_KEEP_BYTES : LATENCY_KEEP_BYTES,
        onText(text) {
          const type = enterInto(account, text);
          if (type === 'subscribed') resolve();
          if (type === 'server_log' && mode === 'latency') recordLatencies(text);
        },
        onEnd(reason) {
          ended += 1;
          reject(new Error(`A subscriber was not let in: ${reason}`));
        },
      });
      subscribers.push({ connection, account });
    });
  }

  return {
    /** Settles when every subscriber has been told that it is subscribed. */
    async connect(options: SwarmOptions): Promise<void> {
      const timeout = setTimeout(() => process.exit(1), CONNECT_TIMEOUT_MS);
      for (let left = options.subscribers; left > 0; left -= WAVE_SIZE) {
        await Promise.all(Array.from({ length: Math.min(left, WAVE_SIZE) }, () => join(options)));
      }
      clearTimeout(timeout);
    },
    progress(): Progress {
      let slowestSeq = Number.POSITIVE_INFINITY;
      for (const { account } of subscribers) slowestSeq = Math.min(slowestSeq, account.lastSeq());
      return { slowestSeq, ended, ...counts };
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

/** Accounts for a message of the panel and answers its type, null for one that is of no interest here. */
function enterInto(account: LineAccount, text: string): 'server_log' | 'log_gap' | 'subscribed' | null {
  if (text.includes('"type":"server_log"')) {
    account.addLines(numberIn(text, 'firstSeq'), numberIn(text, 'seq'));
    return 'server_log';
  }
  if (text.includes('"type":"log_gap"')) {
    account.addGap(numberIn(text, 'from'), numberIn(text, 'to'));
    return 'log_gap';
  }
  if (!text.includes('"type":"subscribed"')) return null;
  account.begin(numberIn(text, 'seq'));
  return 'subscribed';
}

/** A number of the message itself: inside `data` every quotation mark is escaped, so the key cannot be found there. */
function numberIn(text: string, key: string): number {
  const start = text.indexOf(`"${key}":`);
  if (start === -1) throw new Error(`A message without "${key}": ${text.slice(0, 200)}`);
  return Number.parseInt(text.slice(start + key.length + 3, start + key.length + 20), 10);
}
