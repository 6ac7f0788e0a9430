import { Transform } from 'node:stream';
import { AppError } from '../../lib/errors.js';

const BYTES_PER_MB = 1024 * 1024;

/**
 * Passes on so many bytes at most, and their end only after a last question.
 * @param what That is limited, as in "A file can have …".
 */
export function limitBody({
  what,
  maxBytes,
  mayEnd = async () => {},
}: {
  what: 'file' | 'part';
  maxBytes: number;
  mayEnd?: () => Promise<unknown>;
}): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes <= maxBytes) return done(null, chunk);
      const maxMb = Math.floor(maxBytes / BYTES_PER_MB);
      done(new AppError('file.too_large', `A ${what} can have ${maxMb} MB at most.`));
    },
    flush(done) {
      mayEnd().then(() => done(), done);
    },
  });
}
