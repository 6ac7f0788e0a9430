import { refuse } from './report.js';

/** Nothing that an egg says is nested deeper. */
const NESTING_MAX = 16;

/**
 * JSON as text inside of JSON, which is how Pterodactyl writes some fields; Pelican writes the object itself.
 * What the door checks of a body (no NUL, no half characters, no `__proto__`) it could not see inside of the text.
 */
export function parseInnerJson(value: unknown, place: string): unknown {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'string') return value;
  if (value.trim() === '') return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch (cause) {
    return refuse(place, 'is not valid JSON', { cause });
  }
  requireClean(parsed, place, 0);
  return parsed ?? {};
}

function requireClean(value: unknown, place: string, depth: number): void {
  if (depth > NESTING_MAX) refuse(place, 'is nested too deeply');
  if (typeof value === 'string') requireCleanText(value, place);
  if (typeof value === 'number' && !Number.isFinite(value)) refuse(place, 'has a number that is too large');
  if (typeof value !== 'object' || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    requireCleanText(key, place);
    if (key === '__proto__') refuse(`${place}.${key}`, 'is not allowed');
    requireClean(child, place, depth + 1);
  }
}

function requireCleanText(text: string, place: string): void {
  if (text.includes('\0') || !text.isWellFormed()) {
    refuse(place, 'contains a character that is not allowed');
  }
}
