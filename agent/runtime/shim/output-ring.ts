import { OUTPUT_PIECE_MAX_BYTES, type OutputPiece } from './protocol.js';

/** The newest output of a game, found by its offset in everything the game has written. */
export interface OutputRing {
  /** The first byte that is still here, and the one after the last. */
  readonly startOffset: number;
  readonly endOffset: number;
  append(stream: OutputPiece['stream'], data: Buffer, readAtMs: number): void;
  /** What lies at `offset`, as long as it is of one stream; a view that the next `append` may write over. */
  read(offset: number): OutputPiece | null;
}

/** Marks say whose bytes follow and when they were read; so many of them are kept. */
const MARKS_MAX = 32_768;
/** Bytes of one stream that were read within this time share a mark. */
const MARK_INTERVAL_MS = 100;

interface Mark {
  offset: number;
  stream: OutputPiece['stream'];
  readAtMs: number;
}

export function createOutputRing(capacityBytes: number): OutputRing {
  // The system gives the memory only as it is written to, so a quiet game's ring costs nothing.
  const ring = Buffer.allocUnsafeSlow(capacityBytes);
  let startOffset = 0;
  let endOffset = 0;
  let marks: Mark[] = [];
  let firstMark = 0;

  function dropMarks() {
    while (marks.length - firstMark > MARKS_MAX) {
      firstMark += 1;
      startOffset = Math.max(startOffset, marks[firstMark]?.offset ?? endOffset);
    }
    while ((marks[firstMark + 1]?.offset ?? Number.POSITIVE_INFINITY) <= startOffset) firstMark += 1;
    if (firstMark > MARKS_MAX) {
      marks = marks.slice(firstMark);
      firstMark = 0;
    }
  }

  function findMark(offset: number): number {
    let low = firstMark;
    let high = marks.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((marks[middle]?.offset ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  return {
    get startOffset() {
      return startOffset;
    },
    get endOffset() {
      return endOffset;
    },
    append(stream, data, readAtMs) {
      const last = marks[marks.length - 1];
      if (last === undefined || last.stream !== stream || readAtMs - last.readAtMs >= MARK_INTERVAL_MS) {
        marks.push({ offset: endOffset, stream, readAtMs });
      }
      const kept = data.length > capacityBytes ? data.subarray(data.length - capacityBytes) : data;
      endOffset += data.length;
      const position = (endOffset - kept.length) % capacityBytes;
      const copied = kept.copy(ring, position);
      if (copied < kept.length) kept.copy(ring, 0, copied);
      startOffset = Math.max(startOffset, endOffset - capacityBytes);
      dropMarks();
    },
    read(offset) {
      if (offset < startOffset || offset >= endOffset) return null;
      const index = findMark(offset);
      const mark = marks[index];
      if (mark === undefined) return null;
      const position = offset % capacityBytes;
      const length = Math.min(
        (marks[index + 1]?.offset ?? endOffset) - offset,
        capacityBytes - position,
        OUTPUT_PIECE_MAX_BYTES,
      );
      return {
        stream: mark.stream,
        endOffset: offset + length,
        readAtMs: mark.readAtMs,
        data: ring.subarray(position, position + length),
      };
    },
  };
}
