import type { FileHandleClient } from '../gateway/files.js';
import type { FileRight } from './caller.js';
import type { Flow } from './flow.js';
import { type Pieces, sliceOf } from './pieces.js';
import { createReadAhead } from './read-ahead.js';

/** Adjacent reads, or writes, that wait are merged into one request to the node, of so many bytes at most. */
const BATCH_MAX_BYTES = 1024 * 1024;
/** Of one file at once. Writes go one by one, so that they keep their order. */
const READS_AT_ONCE = 4;

interface Waiting {
  kind: 'read' | 'write' | 'other';
  offset: number;
  length: number;
  data: Buffer | null;
  /** Of `other` only. */
  work: (() => Promise<unknown>) | null;
  resolve(answer: unknown): void;
  reject(error: unknown): void;
}

export interface FileQueue {
  /** Fewer bytes, or none, at the end of the file. */
  read(offset: number, length: number): Promise<Pieces>;
  write(offset: number, data: Buffer): Promise<void>;
  /** When everything before it is done, and before anything after it. */
  run<Result>(work: () => Promise<Result>): Promise<Result>;
  /** There may be room for what is read now. */
  wake(): void;
}

/**
 * What is asked of an open file, in the order it was asked. Clients send many small requests ahead: whatever waits
 * while one is on its way to the node goes together.
 * @param authorise Asked before each batch. What it throws is the answer.
 */
export function createFileQueue({
  client,
  flow,
  signal,
  onChange,
  authorise,
}: {
  client: FileHandleClient;
  flow: Flow;
  signal: AbortSignal;
  /** Called before and after what changes the file. */
  onChange: () => void;
  authorise: (right: FileRight) => Promise<unknown>;
}): FileQueue {
  const ahead = createReadAhead({ client, flow, signal });
  let waiting: Waiting[] = [];
  let running = 0;
  let runningKind: Waiting['kind'] = 'read';

  function add(item: Pick<Waiting, 'kind'> & Partial<Waiting>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      waiting.push({ offset: 0, length: 0, data: null, work: null, ...item, resolve, reject });
      pump();
    });
  }

  function canStart({ kind }: Waiting): boolean {
    // At the end nothing waits for a client that has gone.
    if (kind === 'read' && !flow.hasRoom() && !signal.aborted) return false;
    return running === 0 || (kind === 'read' && runningKind === 'read' && running < READS_AT_ONCE);
  }

  function pump(): void {
    for (let first = waiting[0]; first && canStart(first); first = waiting[0]) {
      const batch = takeBatch(first);
      running += 1;
      runningKind = first.kind;
      perform(batch)
        .catch((error: unknown) => {
          for (const { reject } of batch) reject(error);
        })
        .finally(() => {
          running -= 1;
          pump();
        });
    }
  }

  function takeBatch(first: Waiting): Waiting[] {
    let count = 1;
    let bytes = first.length;
    for (let next = waiting[1]; next && first.kind !== 'other'; next = waiting[count]) {
      const isNeighbour = next.kind === first.kind && next.offset === first.offset + bytes;
      if (!isNeighbour || bytes + next.length > BATCH_MAX_BYTES) break;
      bytes += next.length;
      count += 1;
    }
    const batch = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return batch;
  }

  async function perform(batch: Waiting[]): Promise<void> {
    const [first] = batch;
    if (!first) return;
    if (first.work) await performWork(first, first.work);
    else if (first.kind === 'read') await performReads(first, batch);
    else await performWrites(first, batch);
  }

  async function performWork({ resolve }: Waiting, work: () => Promise<unknown>): Promise<void> {
    ahead.drop();
    resolve(await work());
  }

  async function performReads({ offset }: Waiting, batch: Waiting[]): Promise<void> {
    const bytes = batch.reduce((sum, { length }) => sum + length, 0);
    flow.reading(bytes);
    try {
      await authorise('file.read');
      const pieces = await ahead.read(offset, bytes);
      for (const item of batch) item.resolve(sliceOf(pieces, item.offset - offset, item.length));
    } finally {
      flow.hasRead(bytes);
    }
  }

  async function performWrites({ offset }: Waiting, batch: Waiting[]): Promise<void> {
    await authorise('file.write');
    onChange();
    const pieces = batch.flatMap(({ data }) => data ?? []);
    await client.write(offset, pieces, { signal });
    onChange();
    for (const { resolve } of batch) resolve(undefined);
  }

  return {
    read: (offset, length) => add({ kind: 'read', offset, length }) as Promise<Pieces>,
    write: (offset, data) => add({ kind: 'write', offset, data, length: data.length }) as Promise<void>,
    run: <Result>(work: () => Promise<Result>) => add({ kind: 'other', work }) as Promise<Result>,
    wake: pump,
  };
}
