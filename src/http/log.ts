import {
  type DestinationStream,
  destination,
  type Logger,
  type LoggerOptions,
  pino,
  stdTimeFunctions,
} from 'pino';

/** What may wait for standard output to be read; beyond it lines are dropped. */
const WAITING_MAX_BYTES = 4 * 1024 * 1024;
/** So long the end of the process waits for its last lines to be read. */
const LAST_LINES_TIMEOUT_MS = 1000;

const HIDDEN = '[redacted]';

/** Fields whose value is nobody's business, however they are written. */
const FIELDS =
  '(?:current|new|admin)?_?password(?:hash)?|(?:access|refresh|deployment|node)?_?token|' +
  'secret(?:encrypted)?|jwt_?secret|secrets_?key|authorization|(?:set-)?cookie';

/** What must not be in any log line, wherever it comes from. */
const SECRETS: readonly [RegExp, string][] = [
  [new RegExp(String.raw`"(${FIELDS})":\s*"(?:[^"\\]|\\.)*"`, 'gi'), `"$1":"${HIDDEN}"`],
  // The same inside of a text, such as the message of an error, as JSON or as JavaScript writes it.
  [
    new RegExp(
      String.raw`((?:\\")?\b(?:${FIELDS})(?:\\")?\s*[:=]\s*)\\"(?:[^"\\]|\\\\(?:\\["\\]|[^"\\]))*\\"`,
      'gi',
    ),
    String.raw`$1\"${HIDDEN}\"`,
  ],
  [/([?&](?:(?:access_|refresh_)?token|password)=)[^&\s"'\\#]+/gi, `$1${HIDDEN}`],
  [/(\/api\/deploy\/)[^/?\s"'\\]+/g, `$1${HIDDEN}`],
  [/\b(Bearer\s+)[\w.~+/=-]+/gi, `$1${HIDDEN}`],
  [/\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*/g, HIDDEN],
  [/\$argon2id\$[^\s"'\\]+/g, HIDDEN],
  [/\bct[a-z]_[\w-]{43}/g, HIDDEN],
  [/(postgres(?:ql)?|rediss?):\/\/([^:@/\s"]*):[^@\s"]+@/gi, `$1://$2:${HIDDEN}@`],
];

/** The panel's log: one JSON object a line, on standard output unless told otherwise. */
export function createLog(options: { level: string; destination?: DestinationStream }): Logger {
  const settings: LoggerOptions = {
    level: options.level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    hooks: { streamWrite: redact },
  };
  return pino(settings, options.destination ?? standardOutput());
}

/** Nobody may be reading: a full pipe or a terminal that was stopped must stop neither the panel nor its end. */
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

/** A line of the log without its secrets. */
export function redact(line: string): string {
  return SECRETS.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), line);
}
