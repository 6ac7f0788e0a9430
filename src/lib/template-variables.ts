import { Script } from 'node:vm';

/** What a template says about one of its variables, as far as values of it are concerned. */
export interface VariableRules {
  name: string;
  /** `required|string|max:20`, or the same as a list, where a regular expression may have a "|" in it. */
  rules: string | readonly string[];
}

const REGEX_VALUE_MAX_LENGTH = 1024;
/** Some regular expressions take exponential time, and nothing else happens meanwhile. */
const REGEX_TIMEOUT_MS = 100;
const REGEX_TEST = new Script('new RegExp(source, flags).test(value)');
const VALUE_MAX_LENGTH = 8192;
const BOOLEANS = new Set(['true', 'false', '1', '0']);

type Rule =
  | { kind: 'required' | 'string' | 'integer' | 'boolean' }
  | { kind: 'in'; allowed: string[] }
  | { kind: 'regex'; pattern: RegExp }
  | { kind: 'min' | 'max'; bound: number };

/** Why the value breaks the rules of the variable, as a sentence without its name; null when it does not. */
export function checkVariable({ rules }: VariableRules, value: string): string | null {
  const parsed = parseRules(rules);
  if (value === '') return parsed.some(({ kind }) => kind === 'required') ? 'must have a value' : null;
  if (value.length > VALUE_MAX_LENGTH) return `must have at most ${VALUE_MAX_LENGTH} characters`;
  const isNumber = parsed.some(({ kind }) => kind === 'integer');
  for (const rule of parsed) {
    const problem = checkRule(rule, value, isNumber);
    if (problem) return problem;
  }
  return null;
}

/** Throws a SyntaxError that names the rule which nobody knows or which makes no sense. */
export function parseRules(rules: string | readonly string[]): Rule[] {
  const texts = typeof rules === 'string' ? splitRules(rules) : rules;
  return texts
    .map((text) => text.trim())
    .filter(Boolean)
    .map(parseRule);
}

function checkRule(rule: Rule, value: string, isNumber: boolean): string | null {
  switch (rule.kind) {
    case 'required':
    case 'string':
      return null;
    case 'integer':
      return /^-?\d{1,15}$/.test(value) ? null : 'must be a whole number';
    case 'boolean':
      return BOOLEANS.has(value) ? null : 'must be true or false';
    case 'in':
      return rule.allowed.includes(value) ? null : `must be one of: ${rule.allowed.join(', ')}`;
    case 'regex':
      if (value.length > REGEX_VALUE_MAX_LENGTH) {
        return `must have at most ${REGEX_VALUE_MAX_LENGTH} characters`;
      }
      return checkPattern(rule.pattern, value);
    case 'min':
    case 'max':
      return checkBound(rule.kind, rule.bound, value, isNumber);
  }
}

/** In a context of its own, because only there V8 can be told to give up. */
function checkPattern(pattern: RegExp, value: string): string | null {
  const { source, flags } = pattern;
  try {
    const isMatch = REGEX_TEST.runInNewContext({ source, flags, value }, { timeout: REGEX_TIMEOUT_MS });
    return isMatch === true ? null : `must match ${pattern}`;
  } catch (error) {
    // Not an `instanceof Error`: it is of the other context.
    const isTimeout = Object(error).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
    if (!isTimeout) throw error;
    return `takes too long to be held against ${pattern}`;
  }
}

/** As Laravel, where these rules come from, counts: the number itself, else the characters. */
function checkBound(kind: 'min' | 'max', bound: number, value: string, isNumber: boolean): string | null {
  const size = isNumber ? Number(value) : [...value].length;
  if (kind === 'min' ? size >= bound : size <= bound) return null;
  const limit = kind === 'min' ? `at least ${bound}` : `at most ${bound}`;
  return isNumber ? `must be ${limit}` : `must have ${limit} characters`;
}

function parseRule(text: string): Rule {
  const colon = text.indexOf(':');
  const kind = colon === -1 ? text : text.slice(0, colon);
  const argument = colon === -1 ? null : text.slice(colon + 1);
  if (kind === 'required' || kind === 'string' || kind === 'integer' || kind === 'boolean') {
    if (argument !== null) throw new SyntaxError(`the rule "${kind}" takes no value`);
    return { kind };
  }
  if (kind === 'in' || kind === 'regex' || kind === 'min' || kind === 'max') {
    if (!argument) throw new SyntaxError(`the rule "${kind}" needs a value, as in "${kind}:…"`);
    if (kind === 'in') return { kind, allowed: argument.split(',') };
    if (kind === 'regex') return { kind, pattern: parsePattern(argument) };
    if (!/^-?\d{1,15}$/.test(argument)) throw new SyntaxError(`the rule "${kind}" needs a whole number`);
    return { kind, bound: Number(argument) };
  }
  throw new SyntaxError(`there is no rule "${kind.slice(0, 64)}"`);
}

/** `/^a+$/i` as PHP writes it, or the bare expression. */
function parsePattern(text: string): RegExp {
  const delimited = /^\/(.*)\/([a-zA-Z]*)$/s.exec(text);
  const [source, flags] = delimited ? [delimited[1] ?? '', delimited[2] ?? ''] : [text, ''];
  if (!/^[imsu]*$/.test(flags)) throw new SyntaxError(`the rule "regex" does not know the flags "${flags}"`);
  try {
    return new RegExp(source, flags);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SyntaxError(`the rule "regex" is broken: ${reason}`, { cause });
  }
}

/** At each "|", but not at one inside of `regex:/…/`. */
function splitRules(text: string): string[] {
  const pieces = text.match(/\s*regex:\/(?:\\.|[^\\/])*\/[a-zA-Z]*(?=\s*(?:\||$))|[^|]+/g);
  return pieces ?? [];
}
