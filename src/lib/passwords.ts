import { hash, verify } from '@node-rs/argon2';
import { AppError } from './errors.js';

/** OWASP's first choice for argon2id (the library's default algorithm): 19 MiB, two passes, one lane. */
export const PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** Hashing runs on libuv's thread pool; this many at once leave threads and a core for everything else. */
const CONCURRENT_MAX = 1;
const WAITING_MAX = 200;

export interface Passwords {
  hash(password: string): Promise<string>;
  /** Takes the same time whether or not there is a hash to compare with. */
  verify(passwordHash: string | null, password: string): Promise<boolean>;
}

/**
 * Argon2id behind a bounded queue: a wave of logins waits in line instead of starving other requests.
 * Both functions throw `auth.busy` when the queue is full.
 */
export function createPasswords(): Passwords {
  const limited = createQueue();
  const dummyHash = hash('a password that nobody has', PARAMETERS);
  return {
    hash: (password) => limited(() => hash(password, PARAMETERS)),
    verify: (passwordHash, password) =>
      limited(async () => {
        const matches = await verify(passwordHash ?? (await dummyHash), password);
        return passwordHash !== null && matches;
      }),
  };
}

function createQueue() {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async function limited<Result>(work: () => Promise<Result>): Promise<Result> {
    if (running >= CONCURRENT_MAX) {
      if (waiting.length >= WAITING_MAX) throw new AppError('auth.busy', undefined, { retryAfterSeconds: 2 });
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await work();
    } finally {
      // The place is handed on rather than freed, so nobody can slip in between.
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
