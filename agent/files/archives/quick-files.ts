import { fstatSync, type Stats, writev } from 'node:fs';
import { lengthOf } from './bytes.js';

/** What only looks at what is open already does not wait for a disk. */
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
