const PIECE_BYTES = 64 * 1024;
/** A prime: nothing that is cut off or sent twice at round offsets looks right. */
const PERIOD = 251;
const pattern = Buffer.from(Uint8Array.from({ length: PIECE_BYTES + PERIOD }, (_, index) => index % PERIOD));

/** A file that is the same for whoever counts it out, from any byte to any other. */
export function* countedBytes(offset: number, end: number): Generator<Buffer> {
  for (let at = offset; at < end; at += PIECE_BYTES) {
    const begin = at % PERIOD;
    yield pattern.subarray(begin, begin + Math.min(PIECE_BYTES, end - at));
  }
}
