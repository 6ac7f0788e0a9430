import { constants } from 'node:fs';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { O_PATH } from '../../paths/descriptors.js';
import { OWN_NAME } from '../../paths/own-names.js';
import { createInbox, type Inbox } from './inbox.js';
import type { Done, Item, Listing, Looked, Request, ThreadData } from './messages.js';
import { PROGRAM } from './program.js';

/** Waits until somebody takes it: large, and some of it handed over while more is read. */
const IN_MEMORY = { blockBytes: 1024 * 1024, blockCount: 4, toldBytes: 0, toldMax: 4 };
/** Goes into the pipe at once: small enough to be still near the processor then. */
const IN_PIPE = { blockBytes: 256 * 1024, blockCount: 1, toldBytes: 2 * 1024 * 1024, toldMax: 2 };
const NAMES_AT_ONCE = 128;
/** Game servers come first. */
const NICENESS = 19;
const SPLICED_MIN_BYTES = 16 * 1024;
const STOPPED = 2 ** 31 - 1;
/** Beyond the depth of a tree only where many directories are packed together. */
const COUNTED_OPEN_MAX = 300;
const HEAP_MAX_MEGABYTES = 64;

/** A thread of its own that opens and reads what is packed, in the order in which it is told to. */
export interface Reader {
  /** Null: it is no directory any more. To be left after. */
  enter(at: Buffer, path: Buffer): Promise<Listing | null>;
  more(directory: number): Promise<Listing>;
  leave(directory: number): void;
  look(at: Buffer, path: Buffer): Promise<Looked | null>;
  drop(places: number[]): void;
  /** What is below counts for the total, and so many bytes. */
  count(at: Buffer, bytes: number): Promise<void>;
  /** @param heads Of all items; after the last of them, what stands at the end. */
  copy(items: Item[], heads: Buffer[], options?: { isFlushed: boolean }): void;
  /** There is nothing more to copy. */
  end(): void;
  /** The blocks will end with this error. */
  fail(error: unknown): void;
  /**
   * What has been copied, each to be used until the next one is asked for; empty where it went into a pipe. Ends when all has
   * been copied, or nobody takes any more from the pipe. To be asked for once.
   */
  blocks(): AsyncGenerator<Buffer>;
  done(): Done;
  /** Whether all of it has been handed over. */
  isWhole(): boolean;
  /** Until the thread is gone. Nobody may be asked after; what reads from the pipe has to read, or to be gone. */
  close(): Promise<void>;
}

/** @param output A pipe that all of it goes to. Stays open. */
export function startReader(output: number | null): Reader {
  const blocks = output === null ? IN_MEMORY : IN_PIPE;
  const data: ThreadData = {
    ...blocks,
    memory: new SharedArrayBuffer(blocks.blockBytes * blocks.blockCount),
    control: new SharedArrayBuffer(4),
    stopped: STOPPED,
    output,
    splicedMinBytes: SPLICED_MIN_BYTES,
    native: output === null ? null : findNative(),
    namesAtOnce: NAMES_AT_ONCE,
    ownName: OWN_NAME,
    niceness: NICENESS,
    countedOpenMax: COUNTED_OPEN_MAX,
    flags: {
      place: O_PATH | constants.O_NOFOLLOW,
      directory: O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW,
      read: constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    },
  };
  const worker = new Worker(PROGRAM, {
    eval: true,
    workerData: data,
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MEGABYTES },
  });
  const inbox = createInbox(worker);
  const tell = (request: Request) => worker.postMessage(request);
  async function ask(request: Request): Promise<Listing | Looked | null> {
    const answered = inbox.nextAnswer();
    tell(request);
    return await answered;
  }
  return {
    enter: async (at, path) => asListing(await ask({ does: 'enter', at: textOf(at), path: textOf(path) })),
    async more(directory) {
      const listing = asListing(await ask({ does: 'more', directory }));
      if (listing === null) throw new Error('there is no such directory open');
      return listing;
    },
    leave: (directory) => tell({ does: 'leave', directory }),
    async look(at, path) {
      const looked = await ask({ does: 'look', at: textOf(at), path: textOf(path) });
      return looked !== null && 'target' in looked ? looked : null;
    },
    drop: (places) => tell({ does: 'drop', places }),
    count: async (at, bytes) => void (await ask({ does: 'count', at: textOf(at), bytes })),
    copy(items, heads, { isFlushed } = { isFlushed: false }) {
      tell({ does: 'copy', items, heads: ownBytes(heads), isFlushed });
    },
    end: () => tell({ does: 'end' }),
    fail: inbox.fail,
    blocks: () => takeBlocks(inbox, data),
    done: inbox.done,
    isWhole: inbox.isWhole,
    async close() {
      Atomics.store(new Int32Array(data.control), 0, STOPPED);
      Atomics.notify(new Int32Array(data.control), 0);
      tell({ does: 'stop' });
      await inbox.gone;
    },
  };
}

function findNative(): string | null {
  try {
    return createRequire(import.meta.url).resolve('koffi');
  } catch {
    return null;
  }
}

function textOf(bytes: Buffer): string {
  return bytes.toString('latin1');
}

function asListing(answer: Listing | Looked | null): Listing | null {
  return answer !== null && 'looked' in answer ? answer : null;
}

/** Whoever sends a part of some memory sends all of it. */
function ownBytes(heads: Buffer[]): Uint8Array {
  const bytes = new Uint8Array(heads.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const head of heads) {
    bytes.set(head, at);
    at += head.length;
  }
  return bytes;
}

async function* takeBlocks(inbox: Inbox, data: ThreadData) {
  const { memory, control, stopped, blockBytes, blockCount, output } = data;
  const dealtWith = new Int32Array(control);
  for (let turn = 0; ; turn += 1) {
    const bytes = await inbox.nextBlock();
    if (bytes === null) return;
    const start = (turn % blockCount) * blockBytes;
    yield output === null ? Buffer.from(memory, start, bytes) : Buffer.alloc(0);
    // What says that nobody wants any more is to stay.
    if (Atomics.load(dealtWith, 0) !== stopped) Atomics.add(dealtWith, 0, 1);
    Atomics.notify(dealtWith, 0);
  }
}
