import type { OutputListener, RuntimeServer } from '../runtime/runtime.js';
import type { Console } from './console.js';
import { createThrottle } from './throttle.js';

/**
 * How much of one server's output the agent looks at, for long and at once. What is more stays with the
 * runtime, which loses the oldest when that does not end.
 */
const OUTPUT_BYTES_PER_SECOND = 16 * 1024 * 1024;
const OUTPUT_BYTES_BURST = 16 * 1024 * 1024;
const OUTPUT_PAUSE_MS = 50;

/** Brings a run's output to the console, at a pace that leaves the agent time for everything else. */
export interface OutputFollower {
  listener: OutputListener;
  attach(server: RuntimeServer): void;
  stop(): void;
}

export function followOutput(console: Console): OutputFollower {
  let server: RuntimeServer | null = null;
  let pauseTimer: NodeJS.Timeout | null = null;
  const throttle = createThrottle(OUTPUT_BYTES_PER_SECOND, OUTPUT_BYTES_BURST);

  function pace(bytes: number) {
    if (throttle.take(bytes) || server === null || pauseTimer !== null) return;
    server.pauseOutput();
    pauseTimer = setTimeout(resume, OUTPUT_PAUSE_MS);
  }

  function resume() {
    pauseTimer = null;
    server?.resumeOutput();
  }

  return {
    listener: {
      onOutput(chunk) {
        console.write(chunk);
        pace(chunk.data.length);
      },
      onOutputLost: (lostBytes) => console.lose(lostBytes),
    },
    attach(attached) {
      server = attached;
    },
    stop() {
      if (pauseTimer !== null) clearTimeout(pauseTimer);
      server = null;
    },
  };
}
