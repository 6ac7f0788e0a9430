import type { Frame } from '../lib/web-sockets.js';
import type { Valve } from './valve.js';

const WAITING_MAX_BYTES = 8 * 1024 * 1024;
const WAITING_MAX_FRAMES = 1000;

export interface Inbox {
  push(frame: Frame): void;
  /** What still waits is dropped. */
  close(): void;
}

/**
 * The frames of one agent, handled one after the other in the order they came. While too many wait the agent
 * is not read from.
 * @param handle Must not reject.
 */
export function createInbox({
  valve,
  handle,
}: {
  valve: Valve;
  handle: (frame: Frame) => Promise<void>;
}): Inbox {
  let waiting: Frame[] = [];
  let waitingBytes = 0;
  let isRunning = false;
  let isFull = false;

  async function run(): Promise<void> {
    isRunning = true;
    for (let frame = waiting.shift(); frame; frame = waiting.shift()) {
      await handle(frame);
      waitingBytes -= frame.data.length;
      adjustValve();
    }
    isRunning = false;
  }

  function adjustValve(): void {
    const isOver = waitingBytes > WAITING_MAX_BYTES || waiting.length > WAITING_MAX_FRAMES;
    const isLow = waitingBytes <= WAITING_MAX_BYTES / 2 && waiting.length <= WAITING_MAX_FRAMES / 2;
    if (!isFull && isOver) {
      isFull = true;
      valve.pause();
    } else if (isFull && isLow) {
      isFull = false;
      valve.resume();
    }
  }

  return {
    push(frame) {
      waiting.push(frame);
      waitingBytes += frame.data.length;
      adjustValve();
      if (!isRunning) void run();
    },
    close() {
      waiting = [];
    },
  };
}
