import type { WebSocket } from 'ws';
import type { Frame } from '../lib/web-sockets.js';

/** While more than these wait, the client is not read from. */
const WAITING_MAX = 32;
/** A client that opens a dashboard of some hundred servers speaks a lot at first; afterwards people type. */
const MESSAGES_PER_SECOND = 50;
const BURST_MESSAGES = 600;
/** Who goes on speaking that far beyond what is allowed is sent away. */
const DEBT_MAX_MESSAGES = 500;
/** Who speaks too much is told at most this often. */
const COMPLAINT_INTERVAL_MS = 1000;

type Verdict = 'allowed' | 'over' | 'far-over';

/**
 * The messages of one client, handled one after the other in the order they came, also those that come before it is
 * known who speaks. More than the allowed rate are not handled.
 */
export function attachInbox({
  webSocket,
  handle,
  onTooMany,
}: {
  webSocket: WebSocket;
  /** Must not reject. */
  handle(frame: Frame): Promise<void>;
  onTooMany(verdict: Exclude<Verdict, 'allowed'>): void;
}): void {
  const countMessage = createMessageRate();
  const waiting: Frame[] = [];
  let isRunning = false;
  let complainedAtMs = 0;

  async function run(): Promise<void> {
    isRunning = true;
    for (let frame = waiting.shift(); frame; frame = waiting.shift()) {
      await handle(frame);
      if (webSocket.isPaused && waiting.length <= WAITING_MAX / 2) webSocket.resume();
    }
    isRunning = false;
  }

  function isOverRate(): boolean {
    const verdict = countMessage();
    if (verdict === 'allowed') return false;
    if (verdict === 'far-over' || Date.now() - complainedAtMs >= COMPLAINT_INTERVAL_MS) {
      complainedAtMs = Date.now();
      onTooMany(verdict);
    }
    return true;
  }

  webSocket.on('message', (data, isBinary) => {
    if (isOverRate()) return;
    waiting.push({ data: toBuffer(data), isBinary });
    if (waiting.length > WAITING_MAX) webSocket.pause();
    if (!isRunning) void run();
  });
  webSocket.on('close', () => {
    waiting.length = 0;
  });
}

/** A frame of ours is one Buffer; ws's types allow for settings that we do not use. */
function toBuffer(data: Buffer | ArrayBuffer | Buffer[]): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}

/** A token bucket that remembers what was taken beyond its bottom. */
function createMessageRate(): () => Verdict {
  let tokens = BURST_MESSAGES;
  let countedAtMs = Date.now();
  return () => {
    const nowMs = Date.now();
    tokens = Math.min(BURST_MESSAGES, tokens + ((nowMs - countedAtMs) / 1000) * MESSAGES_PER_SECOND) - 1;
    countedAtMs = nowMs;
    if (tokens >= 0) return 'allowed';
    return tokens < -DEBT_MAX_MESSAGES ? 'far-over' : 'over';
  };
}
