import { Transform } from 'node:stream';
import { AppError } from '../../lib/errors.js';

const BYTES_PER_MB = 1024 * 1024;

type Limited = 'file' | 'part';

/**
 * Passes on so many bytes at most. `mayEnd` is asked before their end is passed on; what it throws fails the body.
 * @param what That is limited, as in "A file can have …".
 */
export function limitBody({
  what,
  maxBytes,
  mayEnd = async () => {},
}: {
  what: Limited;
  maxBytes: number;
  mayEnd?: () => Promise<unknown>;
}): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes <= maxBytes) return done(null, chunk);
      done(tooLarge({ what, maxBytes }));
    },
    flush(done) {
      mayEnd().then(() => done(), done);
    },
  });
}

export function tooLarge({ what, maxBytes }: { what: Limited; maxBytes: number }): AppError {
  const maxMb = Math.floor(maxBytes / BYTES_PER_MB);
  return new AppError('file.too_large', `A ${what} can have ${maxMb} MB at most.`);
}
