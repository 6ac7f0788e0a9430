import { isUtf8 } from 'node:buffer';
import { ConfigError } from './values.js';

/** A file's content as text that can be put back as the same bytes. */
export interface ConfigText {
  text: string;
  encode(changed: string): Buffer;
}

const BYTE_ORDER_MARK = '\uFEFF';

/** UTF-8, with or without a byte order mark; for formats that are lines only, also the older one byte a character. */
export function decodeText(content: Buffer, isLinesOnly: boolean): ConfigText {
  if (content.includes(0)) throw new ConfigError('it is not a text file');
  if (isUtf8(content)) {
    const text = content.toString('utf8');
    const mark = text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : '';
    return { text: text.slice(mark.length), encode: (changed) => Buffer.from(mark + changed) };
  }
  if (!isLinesOnly) throw new ConfigError('it is not UTF-8 text');
  return { text: content.toString('latin1'), encode: encodeLatin1 };
}

function encodeLatin1(text: string): Buffer {
  const content = Buffer.from(text, 'latin1');
  if (content.toString('latin1') === text) return content;
  throw new ConfigError('a value has characters that the encoding of the file does not have');
}

/** The line end that a text uses; for an empty one, Unix's. */
export function lineEndOf(text: string): '\n' | '\r\n' {
  const first = text.indexOf('\n');
  return first > 0 && text[first - 1] === '\r' ? '\r\n' : '\n';
}

export interface Line {
  text: string;
  /** Empty: the last line, without an end. */
  end: string;
}

/** Nothing is left out: put together again they are the text. A text that ends with a line end has no empty last line. */
export function splitLines(text: string): Line[] {
  return Array.from(text.matchAll(/([^\r\n]*)(\r\n|\n|\r|$)/g), ([, line = '', end = '']) => ({
    text: line,
    end,
  })).filter(({ text: line, end }) => line !== '' || end !== '');
}

export function joinLines(lines: Line[]): string {
  return lines.map(({ text, end }) => text + end).join('');
}

/** Put lines in, of which the one before may be the last of the file and without an end. */
export function insertLines(lines: Line[], index: number, texts: string[], lineEnd: string): void {
  const before = lines[index - 1];
  const isUnended = before !== undefined && before.end === '';
  if (isUnended) before.end = lineEnd;
  lines.splice(index, 0, ...texts.map((text) => ({ text, end: lineEnd })));
}

export interface Splice {
  start: number;
  end: number;
  text: string;
}

/** Splices at the same place are put in in the order in which they are given. */
export function applySplices(text: string, splices: Splice[]): string {
  const ordered = splices.toSorted((first, second) => first.start - second.start);
  let result = '';
  let position = 0;
  for (const { start, end, text: replacement } of ordered) {
    result += text.slice(position, start) + replacement;
    position = Math.max(position, end);
  }
  return result + text.slice(position);
}
