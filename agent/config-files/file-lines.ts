import { joinLines, splitLines } from './text.js';
import { type ConfigValues, chooseValue } from './values.js';

/**
 * Any text file, by lines: one that begins with a key becomes the key's value as a whole. With several such keys
 * the longest counts. No line is added: what does not occur in the file stays unset.
 */
export function applyToLines(text: string, values: ConfigValues): string {
  const keys = Object.keys(values).sort((first, second) => second.length - first.length);
  const lines = splitLines(text);
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index];
    const key = line && keys.find((candidate) => line.text.startsWith(candidate));
    const wanted = key === undefined ? undefined : values[key];
    if (line === undefined || wanted === undefined) continue;
    const value = chooseValue(wanted, line.text);
    if (value === null) continue;
    const texts = String(value).split(/\r\n|\n|\r/);
    // A value of several lines was put in whole at an earlier start.
    const isThere = texts.every((expected, offset) => lines[index + offset]?.text === expected);
    if (!isThere) line.text = texts.join(line.end === '\r\n' ? '\r\n' : '\n');
    else index += texts.length - 1;
  }
  return joinLines(lines);
}
