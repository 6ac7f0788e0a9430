/** What is read of a file at once. */
export const CHUNK_BYTES = 256 * 1024;
/** So many wait to be used again. */
const SPARE_MAX = 16;

const spare: ArrayBuffer[] = [];
/** Those that somebody has: what is given back twice would be two files' at once. */
const lent = new WeakSet<ArrayBufferLike>();

/**
 * Memory for a piece of a file. New memory for each piece is what V8 counts as garbage to be looked for, and it then looks
 * for it most of the time.
 */
export function takeChunk(): Buffer {
  const memory = spare.pop() ?? new ArrayBuffer(CHUNK_BYTES);
  lent.add(memory);
  return Buffer.from(memory);
}

/** Once nobody will look at it any more. Anything else than a chunk is left alone; so is one that is never given back. */
export function giveBackChunk({ buffer }: Buffer): void {
  if (!lent.delete(buffer) || !(buffer instanceof ArrayBuffer)) return;
  if (spare.length < SPARE_MAX) spare.push(buffer);
}
