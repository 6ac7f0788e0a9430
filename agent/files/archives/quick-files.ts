import { close, fchmod, fchown, fstatSync, futimes, open, type Stats, writev } from 'node:fs';
import { promisify } from 'node:util';
import { lengthOf } from './bytes.js';

/**
 * Files by their number, for thousands of small ones: a FileHandle costs several times as much. Whoever opens one closes it.
 * What waits for a disk is done by other threads; what only looks at what is open already is done at once.
 */
export const openNumber = promisify(open);
/** For what has been written: some disks take it only then. */
export const closeNumber = promisify(close);
export const setOwner = promisify(fchown);
export const setMode = promisify(fchmod);
export const setTimes = promisify(futimes);

export function statusOf(file: number): Stats {
  return fstatSync(file);
}

export async function writePieces(file: number, pieces: Buffer[], position: number): Promise<void> {
  let [rest, at] = [pieces, position];
  while (rest.length > 0) {
    const written = await writeSome(file, rest, at);
    at += written;
    // Rare: the disk is nearly full, and the next write says so.
    rest = written === lengthOf(rest) ? [] : [Buffer.concat(rest).subarray(written)];
  }
}

function writeSome(file: number, pieces: Buffer[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(file, pieces, position, (error, written) => {
      if (error) reject(error);
      else resolve(written);
    });
  });
}
