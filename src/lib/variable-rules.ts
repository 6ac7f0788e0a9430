import { isIP, isIPv4, isIPv6 } from 'node:net';
import { own } from './own.js';
import { checkPattern, type Patience, parsePattern } from './variable-pattern.js';

export interface RuleSubject {
  value: string;
  /** The variable is a number by another of its rules: then sizes are those of the number. */
  isNumber: boolean;
  patience: Patience;
}

export interface Rule {
  kind: string;
  /** Why the value breaks the rule, as a sentence without the variable's name; null when it does not. */
  check(subject: RuleSubject): string | null;
}

const BOOLEANS = new Set(['true', 'false', '1', '0']);
const NUMBER = /^-?\d{1,15}(?:\.\d{1,10})?$/;

/** Names of Laravel's validator, where these rules come from, that say the same. */
const SYNONYMS: Readonly<Record<string, string>> = { int: 'integer', bool: 'boolean' };

/** Rules without a value: what a value has to be like. Null: anything; only others ask about the rule. */
const PLAIN_RULES: Readonly<Record<string, [isKept: ((value: string) => boolean) | null, problem: string]>> =
  {
    required: [null, ''],
    nullable: [null, ''],
    sometimes: [null, ''],
    string: [null, ''],
    integer: [(value) => /^-?\d{1,15}$/.test(value), 'must be a whole number'],
    numeric: [(value) => /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(value), 'must be a number'],
    boolean: [(value) => BOOLEANS.has(value), 'must be true or false'],
    alpha: [(value) => /^[\p{L}\p{M}]+$/u.test(value), 'must have letters only'],
    alpha_num: [(value) => /^[\p{L}\p{M}\p{N}]+$/u.test(value), 'must have letters and digits only'],
    alpha_dash: [
      (value) => /^[\p{L}\p{M}\p{N}_-]+$/u.test(value),
      'must have letters, digits, dashes and underscores only',
    ],
    url: [isUrl, 'must be a URL'],
    ip: [(value) => isIP(value) !== 0, 'must be an IP address'],
    ipv4: [isIPv4, 'must be an IPv4 address'],
    ipv6: [isIPv6, 'must be an IPv6 address'],
  };

type RuleMaker = (kind: string, argument: string) => Rule['check'];

const RULES_WITH_VALUE: Readonly<Record<string, RuleMaker>> = {
  in: (_kind, argument) => {
    const allowed = splitList(argument);
    return ({ value }) => (allowed.includes(value) ? null : `must be one of: ${allowed.join(', ')}`);
  },
  not_in: (_kind, argument) => {
    const refused = splitList(argument);
    return ({ value }) => (refused.includes(value) ? `must not be one of: ${refused.join(', ')}` : null);
  },
  starts_with: (_kind, argument) => {
    const starts = splitList(argument);
    return ({ value }) =>
      starts.some((start) => value.startsWith(start)) ? null : `must start with: ${starts.join(', ')}`;
  },
  ends_with: (_kind, argument) => {
    const ends = splitList(argument);
    return ({ value }) =>
      ends.some((end) => value.endsWith(end)) ? null : `must end with: ${ends.join(', ')}`;
  },
  regex: (kind, argument) => {
    const pattern = parsePattern(kind, argument);
    return (subject) => checkPattern(pattern, true, subject);
  },
  not_regex: (kind, argument) => {
    const pattern = parsePattern(kind, argument);
    return (subject) => checkPattern(pattern, false, subject);
  },
  min: (kind, argument) => checkSize({ min: readNumber(kind, argument) }),
  max: (kind, argument) => checkSize({ max: readNumber(kind, argument) }),
  size: (kind, argument) => {
    const size = readNumber(kind, argument);
    return checkSize({ min: size, max: size });
  },
  between: (kind, argument) => checkSize(readRange(kind, argument)),
  digits: (kind, argument) => {
    const count = readNumber(kind, argument);
    return checkDigits({ min: count, max: count });
  },
  digits_between: (kind, argument) => checkDigits(readRange(kind, argument)),
};

/** Throws a SyntaxError that names the rule which nobody knows or which makes no sense. */
export function parseRules(rules: string | readonly string[]): Rule[] {
  const texts = typeof rules === 'string' ? splitRules(rules) : rules;
  return texts
    .map((text) => text.trim())
    .filter(Boolean)
    .map(parseRule);
}

/** At each "|", but not at one inside of `regex:/…/`. */
export function splitRules(text: string): string[] {
  const pieces = text.match(/\s*(?:not_)?regex:\/(?:\\.|[^\\/])*\/[a-zA-Z]*(?=\s*(?:\||$))|[^|]+/g);
  return pieces ?? [];
}

function parseRule(text: string): Rule {
  const colon = text.indexOf(':');
  const name = colon === -1 ? text : text.slice(0, colon);
  const kind = own(SYNONYMS, name) ?? name;
  const argument = colon === -1 ? null : text.slice(colon + 1);
  const plain = own(PLAIN_RULES, kind);
  if (plain) {
    if (argument !== null) throw new SyntaxError(`the rule "${kind}" takes no value`);
    const [isKept, problem] = plain;
    return { kind, check: ({ value }) => (isKept === null || isKept(value) ? null : problem) };
  }
  const make = own(RULES_WITH_VALUE, kind);
  if (!make) throw new SyntaxError(`there is no rule "${kind.slice(0, 64)}"`);
  if (!argument) throw new SyntaxError(`the rule "${kind}" needs a value, as in "${kind}:…"`);
  return { kind, check: make(kind, argument) };
}

/** As Laravel counts: the number itself, else the characters. */
function checkSize({ min, max }: { min?: number; max?: number }): Rule['check'] {
  return ({ value, isNumber }) => {
    const size = isNumber ? Number(value) : [...value].length;
    if (min !== undefined && size < min) return sizeProblem(`at least ${min}`, isNumber);
    if (max !== undefined && size > max) return sizeProblem(`at most ${max}`, isNumber);
    return null;
  };
}

function sizeProblem(limit: string, isNumber: boolean): string {
  return isNumber ? `must be ${limit}` : `must have ${limit} characters`;
}

function checkDigits({ min, max }: { min: number; max: number }): Rule['check'] {
  return ({ value }) => {
    if (/^\d+$/.test(value) && value.length >= min && value.length <= max) return null;
    return min === max ? `must have ${min} digits` : `must have ${min} to ${max} digits`;
  };
}

function readNumber(kind: string, text: string): number {
  if (!NUMBER.test(text.trim())) throw new SyntaxError(`the rule "${kind}" needs a number`);
  return Number(text);
}

function readRange(kind: string, text: string): { min: number; max: number } {
  const [min, max, ...rest] = text.split(',');
  if (min === undefined || max === undefined || rest.length > 0) {
    throw new SyntaxError(`the rule "${kind}" needs two numbers, as in "${kind}:1,10"`);
  }
  return { min: readNumber(kind, min), max: readNumber(kind, max) };
}

/** `a,b,"c, d"`: a quoted entry may have commas in it, and "" for a quote. */
function splitList(text: string): string[] {
  const entries = text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"(?=,|$)|([^,]*))/g);
  return [...entries].map(([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare ?? '');
}

function isUrl(value: string): boolean {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/]/i.test(value)) return false;
  return URL.canParse(value);
}
