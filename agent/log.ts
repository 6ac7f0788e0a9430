import {
  type DestinationStream,
  destination,
  type Logger,
  pino,
  stdSerializers,
  stdTimeFunctions,
} from 'pino';

/** What may wait for standard output to be read; beyond it lines are dropped. */
const WAITING_MAX_BYTES = 1024 * 1024;
/** So long the end of the process waits for its last lines to be read. */
const LAST_LINES_TIMEOUT_MS = 1000;

/** JSON lines on standard output. A token or secret that gets into a log call by mistake is blacked out. */
export function createLog(level: string): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      serializers: { error: stdSerializers.err },
      redact: ['token', 'secret', '*.token', '*.secret', 'environment', '*.environment'],
    },
    standardOutput(),
  );
}

/** Nobody may be reading: a full pipe must stop neither the agent nor its end. */
function standardOutput(): DestinationStream {
  let giveUpAtMs = Number.POSITIVE_INFINITY;
  const retryEAGAIN = () => Date.now() < giveUpAtMs;
  const stream = destination({ fd: 1, sync: false, maxLength: WAITING_MAX_BYTES, retryEAGAIN });
  process.prependOnceListener('exit', () => {
    giveUpAtMs = Date.now() + LAST_LINES_TIMEOUT_MS;
    try {
      stream.flushSync();
    } catch {
      // Still nobody reads. pino's own flush at the exit, which would fail too, is left nothing to do.
    }
    stream.destroy();
  });
  return stream;
}
