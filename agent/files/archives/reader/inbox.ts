import type { Worker } from 'node:worker_threads';
import { FileError, toFileError } from '../../errors.js';
import { showName } from '../refusals.js';
import type { Done, Listing, Looked, Reply } from './messages.js';

const ENDED = 'the reader has ended';

export type Inbox = ReturnType<typeof createInbox>;

interface Waiting {
  resolve(answer: Listing | Looked | null): void;
  reject(error: unknown): void;
}

/** What the thread says, for those who wait for it. */
export function createInbox(worker: Worker) {
  const answers: Waiting[] = [];
  const blocks: number[] = [];
  let waiting: (() => void) | null = null;
  let failure: { error: unknown } | null = null;
  let done: Done = { bytes: 0, entries: 0, totalBytes: null };
  let end: { isWhole: boolean } | null = null;

  function wake() {
    waiting?.();
    waiting = null;
  }
  function fail(error: unknown) {
    for (const { reject } of answers.splice(0)) reject(error);
    if (end === null) failure ??= { error };
    wake();
  }
  worker.on('message', (reply: Reply) => {
    if (reply.says === 'answer') return answers.shift()?.resolve(reply.answer);
    if (reply.says === 'failed') return fail(errorOf(reply));
    done = reply.done;
    if (reply.says === 'block') blocks.push(reply.bytes);
    else end = { isWhole: reply.isWhole };
    // Nobody is answered after the end.
    if (end !== null) for (const { reject } of answers.splice(0)) reject(new Error(ENDED));
    wake();
  });
  worker.on('error', fail);
  const gone = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      fail(new FileError('file.failed', 'What reads the files has ended too early: try again.'));
      resolve();
    });
  });
  return {
    gone,
    fail,
    done: () => done,
    isWhole: () => end?.isWhole === true,
    nextAnswer(): Promise<Listing | Looked | null> {
      return new Promise((resolve, reject) => {
        if (failure !== null) reject(failure.error);
        else if (end !== null) reject(new Error(ENDED));
        else answers.push({ resolve, reject });
      });
    },
    /** Null: there will be no more. */
    async nextBlock(): Promise<number | null> {
      for (;;) {
        if (failure !== null) throw failure.error;
        const bytes = blocks.shift();
        if (bytes !== undefined) return bytes;
        if (end !== null) return null;
        await new Promise<void>((resolve) => {
          waiting = resolve;
        });
      }
    },
  };
}

/** An error about one of many files says which. */
function errorOf({ path, code, message }: Reply & { says: 'failed' }): unknown {
  const error = toFileError(Object.assign(new Error(message), code === null ? {} : { code }));
  if (path === null || !(error instanceof FileError)) return error;
  const shown = showName(Buffer.from(path, 'latin1'));
  return new FileError(error.code, `"/${shown}": ${error.message}`, { cause: error });
}
