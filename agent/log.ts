import { destination, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino';

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
    // Synchronous, so that the last lines before an end are there.
    destination({ dest: 1, sync: true }),
  );
}
