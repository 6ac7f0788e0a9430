import { CONSOLE_LINE_MAX_BYTES } from '../../src/protocol/limits.js';

/** What a stream has written of a line that has not ended yet. */
export interface LineTail {
  data: Buffer;
  /** The start of the line was given out already, so an end right here is not an empty line. */
  isContinued: boolean;
}

export interface LineSplitter {
  /** `onLine` gets each complete line without its end; the buffer is only valid during the call. */
  push(chunk: Buffer, onLine: (line: Buffer) => void): void;
  /** Give out what there is of an unfinished line. */
  flush(onLine: (line: Buffer) => void): void;
  tail(): LineTail;
}

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const NOTHING: Buffer = Buffer.alloc(0);

/** Cuts one stream's bytes into lines, the longest at `CONSOLE_LINE_MAX_BYTES`, never inside a character. */
export function createLineSplitter(initial: LineTail = { data: NOTHING, isContinued: false }): LineSplitter {
  let held = initial.data;
  let isContinued = initial.isContinued;

  function give(line: Buffer, onLine: (line: Buffer) => void) {
    const isEmptyRest =
      isContinued && (line.length === 0 || (line.length === 1 && line[0] === CARRIAGE_RETURN));
    isContinued = false;
    if (isEmptyRest) return;
    onLine(line[line.length - 1] === CARRIAGE_RETURN ? line.subarray(0, -1) : line);
  }

  return {
    push(chunk, onLine) {
      const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      // What was held has no line end in it, and needs no second look.
      let searchFrom = held.length;
      let start = 0;
      for (;;) {
        const found = bytes.indexOf(LINE_FEED, searchFrom);
        const end = found === -1 ? bytes.length : found;
        while (end - start > CONSOLE_LINE_MAX_BYTES) {
          const cut = cutBefore(bytes, start, start + CONSOLE_LINE_MAX_BYTES);
          onLine(bytes.subarray(start, cut));
          isContinued = true;
          start = cut;
        }
        if (found === -1) break;
        give(bytes.subarray(start, found), onLine);
        start = found + 1;
        searchFrom = start;
      }
      // Copied: a view would keep the whole chunk in memory, and the chunk may be a view of something reused.
      held = start === bytes.length ? NOTHING : Buffer.from(bytes.subarray(start));
    },
    flush(onLine) {
      if (held.length === 0) return;
      const end = cutBefore(held, 0, held.length);
      // Only a character's first bytes so far: they wait for the rest.
      if (end === 0) return;
      onLine(held.subarray(0, end));
      held = Buffer.from(held.subarray(end));
      isContinued = true;
    },
    tail: () => ({ data: held, isContinued }),
  };
}

/** The last end of a UTF-8 character at or before `position`; `position` itself where the bytes are no UTF-8. */
function cutBefore(bytes: Buffer, start: number, position: number): number {
  for (let back = 1; back <= 4 && position - back >= start; back++) {
    const byte = bytes[position - back] ?? 0;
    if (byte < 0x80) return position;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length > back ? position - back : position;
    }
  }
  return position;
}

/** Bytes of a game as text that JSON and PostgreSQL can hold: no NUL, and U+FFFD for what is no UTF-8. */
export function toText(line: Buffer): string {
  const text = line.toString('utf8');
  return text.includes('\0') ? text.replaceAll('\0', '') : text;
}
