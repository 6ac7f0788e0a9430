import { insertLines, joinLines, type Line, lineEndOf, splitLines } from './text.js';
import { type ConfigValues, chooseValue } from './values.js';

/**
 * Java's `.properties`: https://docs.oracle.com/javase/8/docs/api/java/util/Properties.html#load-java.io.Reader-
 * A key that is there gets the value in its place, however often it is there; else it is added at the end.
 * Characters beyond ASCII are written as `\uXXXX`, which is right whatever encoding the game reads the file in.
 */
export function applyToProperties(text: string, values: ConfigValues): string {
  const lines = splitLines(text);
  const lineEnd = lineEndOf(text);
  const missing = new Set(Object.keys(values));
  for (const { first, count, content } of logicalLines(lines)) {
    const { keyText, separator, valueText } = splitProperty(content);
    const key = decodeEscapes(keyText);
    const wanted = Object.hasOwn(values, key) ? values[key] : undefined;
    if (wanted === undefined) continue;
    missing.delete(key);
    const present = decodeEscapes(valueText);
    const value = chooseValue(wanted, present);
    if (value === null || String(value) === present) continue;
    const text = `${keyText}${separator === '' ? '=' : separator}${escapeValue(String(value))}`;
    const end = lines[first + count - 1]?.end ?? lineEnd;
    for (let index = first; index < first + count; index++) lines[index] = { text: '', end: '' };
    lines[first] = { text, end };
  }
  const added = [...missing].flatMap((key) => {
    const value = chooseValue(values[key] ?? {}, null);
    return value === null ? [] : [`${escapeKey(key)}=${escapeValue(String(value))}`];
  });
  if (added.length > 0) insertLines(lines, lines.length, added, lineEnd);
  return joinLines(lines);
}

/** A line that ends with an odd number of backslashes goes on in the next one. Blank lines and comments are left out. */
function* logicalLines(lines: Line[]): Generator<{ first: number; count: number; content: string }> {
  for (let index = 0; index < lines.length; index++) {
    const first = index;
    let content = lines[index]?.text ?? '';
    if (/^[ \t\f]*(?:[#!]|$)/.test(content)) continue;
    while (isContinued(content) && index + 1 < lines.length) {
      index += 1;
      content = content.slice(0, -1) + (lines[index]?.text ?? '').replace(/^[ \t\f]+/, '');
    }
    // The backslash of a last line that goes on in nothing.
    yield { first, count: index - first + 1, content: isContinued(content) ? content.slice(0, -1) : content };
  }
}

function isContinued(text: string): boolean {
  return (/\\+$/.exec(text)?.[0].length ?? 0) % 2 === 1;
}

function splitProperty(content: string) {
  const match = /^([ \t\f]*(?:\\.|[^\\=: \t\f])*)([ \t\f]*[=:]?[ \t\f]*)(.*)$/s.exec(content);
  const [, keyText = '', separator = '', valueText = ''] = match ?? [];
  return { keyText, separator, valueText };
}

const ESCAPES: Record<string, string> = { t: '\t', n: '\n', r: '\r', f: '\f' };

function decodeEscapes(text: string): string {
  return text
    .replace(/^[ \t\f]+/, '')
    .replaceAll(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_, code, character) =>
      code === undefined ? (ESCAPES[character] ?? character) : String.fromCharCode(Number.parseInt(code, 16)),
    );
}

function escapeValue(value: string): string {
  return escapeCharacters(value).replace(/^ /, '\\ ');
}

function escapeKey(key: string): string {
  return escapeCharacters(key).replaceAll(/[ =:]|^[#!]/g, '\\$&');
}

const NAMES: Record<string, string> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r', '\f': '\\f' };

function escapeCharacters(text: string): string {
  return text.replaceAll(
    /\\|[^\x20-\x7E]/g,
    (character) =>
      NAMES[character] ?? `\\u${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`,
  );
}
