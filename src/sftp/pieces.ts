/** Bytes as they came: joining them would copy them. */
export type Pieces = Buffer[];

export function lengthOf(pieces: Pieces): number {
  let bytes = 0;
  for (const { length } of pieces) bytes += length;
  return bytes;
}

/** So many bytes from there on; fewer where there are no more. */
export function sliceOf(pieces: Pieces, start: number, length: number): Pieces {
  const found: Pieces = [];
  let position = 0;
  for (const piece of pieces) {
    const from = Math.max(0, start - position);
    const to = Math.min(piece.length, start + length - position);
    if (from < to) found.push(piece.subarray(from, to));
    position += piece.length;
    if (position >= start + length) break;
  }
  return found;
}
