import { close, fchmod, fchown, fstatSync, futimes, open, read, type Stats, write } from 'node:fs';
import { promisify } from 'node:util';

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

/** @returns How many bytes there were: fewer at the end of the file. */
export function readInto(file: number, buffer: Buffer, start: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(file, buffer, start, buffer.length - start, position, (error, bytesRead) => {
      if (error) reject(error);
      else resolve(bytesRead);
    });
  });
}

export async function writeAll(file: number, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += await new Promise<number>((resolve, reject) => {
      write(file, bytes, done, bytes.length - done, position + done, (error, written) => {
        if (error) reject(error);
        else resolve(written);
      });
    });
  }
}
