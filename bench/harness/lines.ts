/** Matches the time at which a line was written: microseconds of the machine's monotonic clock. */
export const writtenAtPattern = /w=(\d+)/g;

const PADDING = 'The quick brown fox jumps over the lazy dog while the server saves the world. '.repeat(60);

/** A clock that every process of this machine shares and nobody sets. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

/** One console line of exactly `lineBytes` bytes with its number and the time at which it was written. */
export function consoleLine(number: number, writtenAtMs: number, lineBytes: number): string {
  const begin = `[Server thread/INFO]: n=${number} w=${Math.round(writtenAtMs * 1000)} `;
  return `${begin}${PADDING.slice(0, Math.max(0, lineBytes - begin.length - 1))}\n`;
}
