import { Script } from 'node:vm';

const VALUE_MAX_LENGTH = 1024;
/** Some regular expressions take exponential time, and nothing else happens meanwhile. */
const TIMEOUT_MS = 100;
const TEST = new Script('new RegExp(source, flags).test(value)');
const DELIMITERS = '/#~%@!';
/** What PHP understands and JavaScript takes, without a complaint, for something else. */
const OF_PHP_ONLY = /(?<!\\)(?:\\\\)*(\\[AZzGhHRXKQE]|\[\[:)/;

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
  const foreign = OF_PHP_ONLY.exec(source);
  if (foreign) throw new SyntaxError(`the rule "${rule}" does not know "${foreign[1]}"`);
  try {
    return new RegExp(source, known);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SyntaxError(`the rule "${rule}" is broken: ${reason}`, { cause });
  }
}

/** Why the value may not be, as a sentence without its name; null when it may. */
export function checkPattern(pattern: RegExp, isWanted: boolean, value: string): string | null {
  if (value.length > VALUE_MAX_LENGTH) return `must have at most ${VALUE_MAX_LENGTH} characters`;
  const { source, flags } = pattern;
  try {
    // In a context of its own, because only there V8 can be told to give up.
    const isMatch: unknown = TEST.runInNewContext({ source, flags, value }, { timeout: TIMEOUT_MS });
    if (isMatch === isWanted) return null;
    return isWanted ? `must match ${pattern}` : `must not match ${pattern}`;
  } catch (error) {
    // Not an `instanceof Error`: it is of the other context.
    const isTimeout = Object(error).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
    if (!isTimeout) throw error;
    return `takes too long to be held against ${pattern}`;
  }
}

function splitDelimiters(text: string): [source: string, flags: string] {
  const delimiter = text.charAt(0);
  if (delimiter === '' || !DELIMITERS.includes(delimiter)) return [text, ''];
  const end = text.lastIndexOf(delimiter);
  if (end === 0 || !/^[a-zA-Z]*$/.test(text.slice(end + 1))) return [text, ''];
  return [text.slice(1, end), text.slice(end + 1)];
}
