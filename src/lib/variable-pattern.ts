import { createContext, Script } from 'node:vm';

const VALUE_MAX_LENGTH = 1024;
/** Some regular expressions take exponential time, and nothing else happens meanwhile. */
const TIMEOUT_MS = 100;
/** For all expressions of one request together. */
const PATIENCE_MS = 1000;
const TEST = new Script('new RegExp(source, flags).test(value)');
/** A context of its own, because only there V8 can be told to give up. One for all: making it takes longest. */
const subject: Record<string, string> = {};
const CONTEXT = createContext(subject);
const DELIMITERS = '/#~%@!';
/** What PHP understands and JavaScript takes, without a complaint, for something else. */
const OF_PHP_ONLY = /(?<!\\)(?:\\\\)*(\\[AZzGhHRXKQEae]|\[\[:)/;
/** JavaScript knows these with the flag `u` only. */
const CLASS_OF_UNICODE = /(?<!\\)(?:\\\\)*(\\[pP])/;

/** How long the expressions of many variables may take together, lest they stop everything else one after the other. */
export interface Patience {
  leftMs: number;
}

export function createPatience(): Patience {
  return { leftMs: PATIENCE_MS };
}

/**
 * The expression of a `regex:` rule: `/^a+$/i` as PHP writes it, or bare.
 * Throws a SyntaxError when it is broken, or is one of PHP that would mean something else here.
 */
export function parsePattern(rule: string, text: string): RegExp {
  const [source, flags] = splitDelimiters(text);
  // Here `$` never matches before a last line break, which is what PHP's D is for.
  const known = flags.replace('D', '');
  if (!/^[imsu]*$/.test(known)) {
    throw new SyntaxError(`the rule "${rule}" does not know the flags "${flags}"`);
  }
  const foreign = OF_PHP_ONLY.exec(source) ?? (known.includes('u') ? null : CLASS_OF_UNICODE.exec(source));
  if (foreign) throw new SyntaxError(`the rule "${rule}" does not know "${foreign[1]}"`);
  try {
    return new RegExp(source, known);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SyntaxError(`the rule "${rule}" is broken: ${reason}`, { cause });
  }
}

/** Why the value may not be, as a sentence without its name; null when it may. */
export function checkPattern(
  pattern: RegExp,
  isWanted: boolean,
  { value, patience }: { value: string; patience: Patience },
): string | null {
  if (value.length > VALUE_MAX_LENGTH) return `must have at most ${VALUE_MAX_LENGTH} characters`;
  const timeout = Math.min(TIMEOUT_MS, Math.floor(patience.leftMs));
  const tooLong = `takes too long to be held against ${pattern}`;
  if (timeout < 1) return tooLong;
  const { source, flags } = pattern;
  Object.assign(subject, { source, flags, value });
  const startedAt = performance.now();
  try {
    const isMatch: unknown = TEST.runInContext(CONTEXT, { timeout });
    if (isMatch === isWanted) return null;
    return isWanted ? `must match ${pattern}` : `must not match ${pattern}`;
  } catch (error) {
    // Not an `instanceof Error`: it is of the other context.
    const isTimeout = Object(error).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
    // V8 only finds out now that an expression is too large for it.
    return isTimeout ? tooLong : `cannot be held against ${pattern}`;
  } finally {
    patience.leftMs -= performance.now() - startedAt;
  }
}

function splitDelimiters(text: string): [source: string, flags: string] {
  const delimiter = text.charAt(0);
  if (delimiter === '' || !DELIMITERS.includes(delimiter)) return [text, ''];
  const end = text.lastIndexOf(delimiter);
  if (end === 0 || !/^[a-zA-Z]*$/.test(text.slice(end + 1))) return [text, ''];
  return [text.slice(1, end), text.slice(end + 1)];
}
