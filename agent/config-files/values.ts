import type { ConfigFile, ConfigValue } from '../../src/protocol/server-specification.js';

/** Key or path of keys → what it becomes. */
export type ConfigValues = ConfigFile['values'];
export type WantedValue = ConfigValues[string];

/** A file that cannot be changed as asked; the message tells the server's owner why. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

const ELSE = '*';
const PATTERN_PREFIX = 'regex:';
/** Longer values are not what a pattern is meant for, and some patterns never come to an end on them. */
const PATTERN_SUBJECT_MAX_LENGTH = 4096;
const INTEGER = /^(?:0|-?[1-9]\d{0,14})$/;
const DECIMAL = /^-?\d{1,15}(?:\.\d{1,15})?$/;

/** Values by what is there now never make a key that is not there. */
export function isConditional(wanted: WantedValue): wanted is Record<string, ConfigValue> {
  return typeof wanted === 'object';
}

/**
 * What a value becomes. Of a map by the present value the first key counts that equals it, or that is
 * `regex:` and an expression found in it, every match of which is then replaced (`$1`: its first group); `*`
 * is for everything that no other key is for.
 * @param present Null: there is no value.
 * @returns Null: it stays.
 */
export function chooseValue(wanted: WantedValue, present: string | null): ConfigValue | null {
  if (!isConditional(wanted)) return wanted;
  if (present === null) return null;
  for (const [key, value] of Object.entries(wanted)) {
    if (key === ELSE) continue;
    if (key.startsWith(PATTERN_PREFIX)) {
      const replaced = replacePattern(key.slice(PATTERN_PREFIX.length), present, value);
      if (replaced !== null) return replaced;
    } else if (key === present) return value;
  }
  return Object.hasOwn(wanted, ELSE) ? (wanted[ELSE] ?? null) : null;
}

/** Templates of other panels are written for Go, whose expressions differ from JavaScript's in a few places. */
function replacePattern(source: string, present: string, value: ConfigValue): ConfigValue | null {
  const isCaseIgnored = source.startsWith('(?i)');
  const translated = source.replace(/^\(\?i\)/, '').replaceAll('(?P<', '(?<');
  let pattern: RegExp;
  try {
    pattern = new RegExp(translated, isCaseIgnored ? 'gi' : 'g');
  } catch (error) {
    throw new ConfigError(`the expression ${source} of the template is none`, { cause: error });
  }
  if (present.length > PATTERN_SUBJECT_MAX_LENGTH || !pattern.test(present)) return null;
  if (typeof value !== 'string') return value;
  pattern.lastIndex = 0;
  return present.replace(pattern, (match, ...details: unknown[]) => expand(value, match, details));
}

function expand(value: string, match: string, details: unknown[]): string {
  const groups = details.filter((detail) => typeof detail === 'string' || detail === undefined);
  const named = details.at(-1);
  return value.replaceAll(/\$(?:(\$)|(\d{1,2})|\{(\w+)\})/g, (_, dollar, number, name) => {
    if (dollar !== undefined) return '$';
    const index = number ?? name;
    if (index === '0') return match;
    if (/^\d+$/.test(index)) return textOf(groups[Number(index) - 1]);
    return typeof named === 'object' && named !== null ? textOf(Reflect.get(named, index)) : '';
  });
}

function textOf(group: unknown): string {
  return typeof group === 'string' ? group : '';
}

/**
 * Text for a file that tells numbers and booleans from text. A present value keeps its type where the text can
 * be of it. Where there is none yet, or it is null, whole numbers become numbers, as in the panels that
 * templates come from: ports are always given as text there, and games insist on numbers. A value that is
 * given as a number or a boolean stays one.
 */
export function typedLike(value: ConfigValue, present: unknown): ConfigValue {
  if (typeof value !== 'string' || typeof present === 'string') return value;
  if (typeof present === 'boolean') return value === 'true' ? true : value === 'false' ? false : value;
  if (typeof present === 'number') return DECIMAL.test(value) ? Number(value) : value;
  return INTEGER.test(value) ? Number(value) : value;
}
