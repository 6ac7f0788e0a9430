import type { LogStream } from '../../protocol/agent-messages.js';
import { CONSOLE_LINE_MAX_BYTES } from '../../protocol/limits.js';

/** A prompt without a line end ("Password: ") becomes a line after this time. */
const PARTIAL_LINE_MS = 1000;

/** Makes whole lines of what an agent without line numbers sends in arbitrary pieces. */
export interface LineAssembler {
  push(stream: LogStream, data: string): void;
  /** What is left becomes a line now. */
  close(): void;
}

/** @param onLines Takes whole lines, each ended by \n and none longer than the limit. */
export function createLineAssembler(onLines: (stream: LogStream, lines: string) => void): LineAssembler {
  const partial = new Map<LogStream, string>();
  let timer: NodeJS.Timeout | undefined;

  function flushPartial(): void {
    clearTimeout(timer);
    timer = undefined;
    const left = [...partial];
    partial.clear();
    for (const [stream, text] of left) onLines(stream, `${text}\n`);
  }

  return {
    push(stream, data) {
      const text = cutLongLines((partial.get(stream) ?? '') + data);
      const end = text.lastIndexOf('\n') + 1;
      const rest = text.slice(end);
      if (rest === '') partial.delete(stream);
      else partial.set(stream, rest);
      if (partial.size > 0) timer ??= setTimeout(flushPartial, PARTIAL_LINE_MS);
      if (end > 0) onLines(stream, text.slice(0, end));
    },
    close: flushPartial,
  };
}

function cutLongLines(text: string): string {
  if (Buffer.byteLength(text) <= CONSOLE_LINE_MAX_BYTES) return text;
  return text.split('\n').map(cutLine).join('\n');
}

function cutLine(line: string): string {
  const bytes = Buffer.from(line);
  if (bytes.length <= CONSOLE_LINE_MAX_BYTES) return line;
  const pieces: string[] = [];
  for (let start = 0; start < bytes.length; ) {
    let end = Math.min(start + CONSOLE_LINE_MAX_BYTES, bytes.length);
    // Not in the middle of a character: its second and later bytes are 10xxxxxx.
    while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
    pieces.push(bytes.toString('utf8', start, end));
    start = end;
  }
  return pieces.join('\n');
}
