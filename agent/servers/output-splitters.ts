import type { JournalEntry } from './journal.js';
import { createLineSplitter, type LineSplitter } from './line-splitter.js';

type Tails = NonNullable<JournalEntry['tails']>;

/** A splitter for each of a run's two streams, which can be put down in the journal and taken up again. */
export interface OutputSplitters {
  stdout: LineSplitter;
  stderr: LineSplitter;
  hasTail(): boolean;
  tails(): Tails;
}

export function createOutputSplitters(tails: Tails | null): OutputSplitters {
  const stdout = createLineSplitter(decode(tails?.stdout));
  const stderr = createLineSplitter(decode(tails?.stderr));
  return {
    stdout,
    stderr,
    hasTail: () => stdout.tail().data.length > 0 || stderr.tail().data.length > 0,
    tails: () => ({ stdout: encode(stdout), stderr: encode(stderr) }),
  };
}

function encode(splitter: LineSplitter): Tails['stdout'] {
  const { data, isContinued } = splitter.tail();
  return { data: data.toString('base64'), isContinued };
}

function decode(tail: Tails['stdout'] | undefined) {
  return { data: Buffer.from(tail?.data ?? '', 'base64'), isContinued: tail?.isContinued ?? false };
}
