/** Console text is whole lines, each ended by \n. */

export function countLines(data: string): number {
  let count = 0;
  for (let at = data.indexOf('\n'); at !== -1; at = data.indexOf('\n', at + 1)) count += 1;
  return count;
}

/** Where line number `count` (from 0) begins; the length when there are no more. */
export function offsetOfLine(data: string, count: number): number {
  let offset = 0;
  for (let line = 0; line < count; line += 1) {
    const end = data.indexOf('\n', offset);
    if (end === -1) return data.length;
    offset = end + 1;
  }
  return offset;
}

/** PostgreSQL refuses NUL, and half a surrogate pair is not text to anybody. */
export function storable(data: string): string {
  const withoutNul = data.includes('\0') ? data.replaceAll('\0', '') : data;
  return withoutNul.toWellFormed();
}
