import type { Worker } from 'node:worker_threads';
import { FileError, toFileError } from '../../errors.js';
import type { Reply } from './messages.js';

/** What the thread says, for those who wait for it. */
export function createInbox(worker: Worker, onWritten: (bytes: number) => void) {
  const read: number[] = [];
  let batches = 0;
  let waiting: (() => void)[] = [];
  let failure: { error: unknown } | null = null;

  function wake() {
    const woken = waiting;
    waiting = [];
    for (const resolve of woken) resolve();
  }
  function fail(error: unknown) {
    failure ??= { error };
    wake();
  }
  worker.on('message', (reply: Reply) => {
    if (reply.says === 'failed') return fail(errorOf(reply));
    if (reply.says === 'read') read.push(reply.bytes);
    else {
      if (reply.isOver) batches += 1;
      // What has failed counts no more.
      if (failure === null) onWritten(reply.bytes);
    }
    wake();
  });
  worker.on('error', fail);
  const gone = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      fail(new FileError('file.failed', 'What writes the files has ended too early: try again.'));
      resolve();
    });
  });
  /** @returns What `ask` found, as soon as that is something. */
  async function until<Found>(ask: () => Found | undefined): Promise<Found> {
    for (;;) {
      if (failure !== null) throw failure.error;
      const found = ask();
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
      });
    }
  }
  return {
    gone,
    fail,
    /** How much is in the block whose turn it is. 0: there is no more. */
    nextRead: () => until(() => read.shift()),
    /** Until so many batches have been dealt with. */
    dealtWith: (count: number) => until(() => (batches >= count ? true : undefined)),
  };
}

function errorOf({ code, message }: Reply & { says: 'failed' }): unknown {
  return toFileError(Object.assign(new Error(message), code === null ? {} : { code }));
}
