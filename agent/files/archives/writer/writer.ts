import { constants } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Owner } from '../../owner.js';
import { O_PATH, type PathHandle } from '../../paths/descriptors.js';
import { createCopying } from './copying.js';
import { createInbox } from './inbox.js';
import type { Request, SourceData, Step, ThreadData } from './messages.js';
import { PROGRAM } from './program.js';

const BLOCK_BYTES = 256 * 1024;
const BLOCK_COUNT = 4;
/** What has less in it than a block may have many names. */
const BATCH_STEPS_MAX = 512;
const BATCHES_AHEAD_MAX = 8;
const DIRECTORIES_OPEN_MAX = 128;
const DIRECTORY_MODE = 0o755;
const COPIED_BYTES = 256 * 1024;
const TOLD_BYTES = 4 * 1024 * 1024;
/** Game servers come first. */
const NICENESS = 19;
const STOPPED = 1;
/** The names of all directories are in it. */
const HEAP_MAX_MEGABYTES = 256;

/** A thread of its own that makes what is unpacked, in the order in which it is told to. */
export interface Writer {
  /** Pieces of what the thread reads, each to be added before the next one is asked for, or not to be used any more. */
  read(source: SourceData): AsyncGenerator<Buffer>;
  add(step: Step): Promise<void>;
  /** For the file that is open. What the thread has not read itself is copied for it. */
  addContent(piece: Buffer): Promise<void>;
  /** Until everything has been done. */
  settle(): Promise<void>;
  /** Whoever waits gets this error; the thread does nothing more. */
  fail(error: unknown): void;
  /** Until the thread is gone. What it reads has to have an end. */
  close(): Promise<void>;
}

interface WriterOptions {
  root: PathHandle;
  owner: Owner | null;
  /** After some of it is in files. */
  onWritten(bytes: number): void;
}

export function startWriter({ root, owner, onWritten }: WriterOptions): Writer {
  const data = threadData(root, owner);
  const worker = startThread(data);
  const inbox = createInbox(worker, onWritten);
  const tell = (request: Request) => worker.postMessage(request);
  let steps: Step[] = [];
  let batches = 0;

  /** @returns The number of the last batch. */
  function pass(): number {
    if (steps.length > 0) {
      tell({ does: 'make', steps });
      batches += 1;
      steps = [];
    }
    return batches;
  }
  async function add(step: Step) {
    steps.push(step);
    if (steps.length < BATCH_STEPS_MAX) return;
    pass();
    await inbox.dealtWith(batches - BATCHES_AHEAD_MAX);
  }
  const blocks = { memory: data.memory, blockBytes: BLOCK_BYTES, blockCount: BLOCK_COUNT };
  const copied = createCopying(blocks, { pass, dealtWith: inbox.dealtWith });
  let isReading = false;
  function fail(error: unknown) {
    Atomics.store(new Int32Array(data.control), 0, STOPPED);
    inbox.fail(error);
  }
  return {
    read(source) {
      isReading = true;
      tell({ does: 'open', source });
      return readBlocks(data.memory, { tell, pass, nextRead: inbox.nextRead });
    },
    add,
    async addContent(piece) {
      if (piece.buffer === data.memory) {
        return await add({ makes: 'content', start: piece.byteOffset, bytes: piece.length });
      }
      if (isReading) throw new Error('the memory is for what the thread reads');
      for (let at = 0; at < piece.length; ) {
        const { start, bytes } = await copied.add(piece.subarray(at));
        await add({ makes: 'content', start, bytes });
        at += bytes;
      }
    },
    async settle() {
      pass();
      await inbox.dealtWith(batches);
    },
    fail,
    async close() {
      fail(new Error('the writer has ended'));
      tell({ does: 'stop' });
      await inbox.gone;
    },
  };
}

interface Reading {
  tell(request: Request): void;
  /** What has been added so far is to be done. */
  pass(): void;
  nextRead(): Promise<number>;
}

async function* readBlocks(
  memory: SharedArrayBuffer,
  { tell, pass, nextRead }: Reading,
): AsyncGenerator<Buffer> {
  for (let block = 0; block < BLOCK_COUNT; block += 1) tell({ does: 'read', block });
  for (let turn = 0; ; turn = (turn + 1) % BLOCK_COUNT) {
    const bytes = await nextRead();
    if (bytes === 0) return;
    yield Buffer.from(memory, turn * BLOCK_BYTES, bytes);
    // Written before it is filled again: one is done after the other.
    pass();
    tell({ does: 'read', block: turn });
  }
}

function startThread(data: ThreadData): Worker {
  return new Worker(PROGRAM, {
    eval: true,
    workerData: data,
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MEGABYTES },
  });
}

function threadData({ fd }: PathHandle, owner: Owner | null): ThreadData {
  const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY, O_NONBLOCK, O_NOCTTY } = constants;
  return {
    memory: new SharedArrayBuffer(BLOCK_BYTES * BLOCK_COUNT),
    blockBytes: BLOCK_BYTES,
    control: new SharedArrayBuffer(4),
    stopped: STOPPED,
    root: fd,
    owner,
    uid: owner?.uid ?? process.getuid?.() ?? null,
    directoriesOpenMax: DIRECTORIES_OPEN_MAX,
    directoryMode: DIRECTORY_MODE,
    copiedBytes: COPIED_BYTES,
    toldBytes: TOLD_BYTES,
    niceness: NICENESS,
    flags: {
      place: O_PATH | O_NOFOLLOW,
      directory: O_PATH | O_DIRECTORY | O_NOFOLLOW,
      read: O_RDONLY | O_NONBLOCK | O_NOCTTY,
      create: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
    },
  };
}
