import { PassThrough } from 'node:stream';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import type { FileHandleClient } from '../../src/gateway/files.js';
import type { Flow } from '../../src/sftp/flow.js';
import { lengthOf } from '../../src/sftp/pieces.js';
import { createReadAhead, type ReadAhead } from '../../src/sftp/read-ahead.js';

const READ_BYTES = 64 * 1024;
const STRETCH_BYTES = 128 * 1024;

interface Fetched {
  offset: number;
  stream: PassThrough;
  signal: AbortSignal | undefined;
}

let fetched: Fetched[];
let plainly: number[];
let aheadBytes: number;
let ahead: ReadAhead;

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  fetched = [];
  plainly = [];
  aheadBytes = 0;
  // A node whose line is as slow as the test wants.
  const client: Pick<FileHandleClient, 'read' | 'readStream'> = {
    async read(offset, length) {
      plainly.push(offset);
      return Buffer.alloc(length);
    },
    async readStream(offset, { signal } = {}) {
      const stream = new PassThrough();
      signal?.addEventListener('abort', () => stream.destroy(new Error('given up')));
      fetched.push({ offset, stream, signal });
      return stream;
    },
  };
  const flow: Pick<Flow, 'changes' | 'shownChanges' | 'takeAhead' | 'giveAhead'> = {
    changes: () => 0,
    shownChanges: () => 0,
    takeAhead: (bytes) => {
      aheadBytes += bytes;
      return true;
    },
    giveAhead: (bytes) => {
      aheadBytes -= bytes;
    },
  };
  ahead = createReadAhead({
    client: client as FileHandleClient,
    flow: flow as Flow,
    signal: new AbortController().signal,
  });
});

/** Reads on behind what was read plainly, in order, until something is fetched ahead. */
async function readUntilAhead(): Promise<{ reading: Promise<number>; first: Fetched }> {
  await ahead.read(0, READ_BYTES);
  const reading = ahead.read(READ_BYTES, READ_BYTES).then(lengthOf);
  await vi.advanceTimersByTimeAsync(1);
  const [first] = fetched;
  if (!first) throw new Error('nothing was fetched ahead');
  return { reading, first };
}

test('what somebody waits for is not given up, however long it takes to come', async () => {
  const { reading, first } = await readUntilAhead();
  for (let second = 0; second < 4; second += 1) {
    first.stream.write(Buffer.alloc(READ_BYTES / 4));
    await vi.advanceTimersByTimeAsync(1500);
  }
  expect(await reading).toBe(READ_BYTES);
  const next = ahead.read(2 * READ_BYTES, READ_BYTES).then(lengthOf);
  await vi.advanceTimersByTimeAsync(1);
  expect(plainly).toEqual([0]);
  expect(fetched.at(-1)?.signal?.aborted).toBe(false);
  for (const { stream } of fetched) stream.end(Buffer.alloc(STRETCH_BYTES));
  await vi.advanceTimersByTimeAsync(1);
  expect(await next).toBe(READ_BYTES);
});

test('what nobody asks for any more is given up, and its place in memory given back', async () => {
  const { reading, first } = await readUntilAhead();
  first.stream.write(Buffer.alloc(READ_BYTES));
  await vi.advanceTimersByTimeAsync(1);
  expect(await reading).toBe(READ_BYTES);
  expect(aheadBytes).toBeGreaterThan(0);
  await vi.advanceTimersByTimeAsync(2100);
  expect(fetched.map(({ signal }) => signal?.aborted)).toEqual(fetched.map(() => true));
  expect(aheadBytes).toBe(0);
});

test('behind the end of a file nothing is asked for', async () => {
  const { reading, first } = await readUntilAhead();
  first.stream.end(Buffer.alloc(STRETCH_BYTES - 10));
  await vi.advanceTimersByTimeAsync(1);
  expect(await reading).toBe(READ_BYTES);
  for (const { stream } of fetched) stream.end();
  await vi.advanceTimersByTimeAsync(1);
  const before = fetched.length;
  expect(lengthOf(await ahead.read(2 * READ_BYTES, READ_BYTES - 10))).toBe(READ_BYTES - 10);
  expect(fetched.length).toBe(before);
});
