import type { ConfigValue } from '../../src/protocol/server-specification.js';
import { insertLines, joinLines, type Line, lineEndOf, splitLines } from './text.js';
import { type ConfigValues, chooseValue, type WantedValue } from './values.js';

/**
 * Sections of `key = value` lines. A path is `section.key`, split at the first dot that is not in brackets
 * (`[/Script/Game.Settings].Port`); without a dot the key stands before the first section. What is missing
 * is added: a key behind the last of its section, a section at the end of the file.
 */
export function applyToIni(text: string, values: ConfigValues): string {
  const lines = splitLines(text);
  const lineEnd = lineEndOf(text);
  const separator = separatorOf(lines);
  for (const [path, wanted] of Object.entries(values)) {
    const { section, key } = splitPath(path);
    const found = findSection(lines, section);
    if (replaceAll(lines, found, key, wanted)) continue;
    const value = chooseValue(wanted, null);
    if (value === null) continue;
    const line = `${key}${separator}${toLine(value)}`;
    const last = found.at(-1);
    if (last !== undefined) insertLines(lines, last.end, [line], lineEnd);
    else insertLines(lines, lines.length, [...(lines.length > 0 ? [''] : []), `[${section}]`, line], lineEnd);
  }
  return joinLines(lines);
}

function splitPath(path: string): { section: string; key: string } {
  let depth = 0;
  for (let index = 0; index < path.length; index++) {
    if (path[index] === '[') depth += 1;
    if (path[index] === ']') depth -= 1;
    if (path[index] !== '.' || depth > 0) continue;
    return { section: withoutBrackets(path.slice(0, index)), key: withoutBrackets(path.slice(index + 1)) };
  }
  return { section: '', key: withoutBrackets(path) };
}

function withoutBrackets(text: string): string {
  return text.replaceAll(/[[\]]/g, '');
}

/** A run of lines, of which `end` is right behind the last that says something. */
interface Range {
  start: number;
  end: number;
}

const HEADER = /^\s*\[(.*)\]\s*(?:[;#].*)?$/;
const NO_ENTRY = /^\s*(?:[;#].*)?$/;

/** Every part of the file that is in the section; the part before the first header always is there. */
function findSection(lines: Line[], section: string): Range[] {
  const starts = [{ name: '', start: 0 }];
  lines.forEach(({ text }, index) => {
    const name = HEADER.exec(text)?.[1];
    if (name !== undefined) starts.push({ name: name.trim(), start: index + 1 });
  });
  return starts.flatMap(({ name, start }, index) => {
    if (name !== section) return [];
    const next = starts[index + 1];
    let end = next === undefined ? lines.length : next.start - 1;
    while (end > start && NO_ENTRY.test(lines[end - 1]?.text ?? '')) end -= 1;
    return [{ start, end }];
  });
}

const ENTRY = /^(?<before>\s*(?<key>[^=:]*?)\s*[=:][ \t]*)(?<value>.*?)(?<after>\s*)$/;
/** A comment behind a value; the value itself may be in quotes. */
const COMMENTED = /^(?<value>"[^"]*"|'[^']*'|.*?)(?<comment>[ \t]+[;#].*)$/;

/** @returns Whether the key is there at all. */
function replaceAll(lines: Line[], ranges: Range[], key: string, wanted: WantedValue): boolean {
  let isFound = false;
  for (const { start, end } of ranges) {
    for (const line of lines.slice(start, end)) {
      const entry = NO_ENTRY.test(line.text) ? undefined : ENTRY.exec(line.text)?.groups;
      if (entry === undefined || entry.key !== key) continue;
      isFound = true;
      line.text = replaceValue(entry, wanted) ?? line.text;
    }
  }
  return isFound;
}

function replaceValue(entry: Record<string, string>, wanted: WantedValue): string | null {
  const { before = '', value: whole = '', after = '' } = entry;
  const { value: present = whole, comment = '' } = COMMENTED.exec(whole)?.groups ?? {};
  const value = chooseValue(wanted, present);
  if (value === null) return null;
  // What looks like a comment may be part of the value.
  const isThere = toLine(value) === whole || toLine(value) === present;
  return isThere ? null : `${before}${toLine(value)}${comment}${after}`;
}

/** As the first entry of the file has it. */
function separatorOf(lines: Line[]): string {
  const first = lines.find(({ text }) => !NO_ENTRY.test(text) && !HEADER.test(text) && ENTRY.test(text));
  return /\s[=:]/.test(ENTRY.exec(first?.text ?? '')?.groups?.before ?? '') ? ' = ' : '=';
}

/** A value cannot become a second line. */
function toLine(value: ConfigValue): string {
  return String(value).replaceAll(/[\r\n]+/g, ' ');
}
