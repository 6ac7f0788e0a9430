import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { PartialUpload } from '../../../src/protocol/data-plane.js';
import { FileError } from '../errors.js';
import type { Claim } from '../quota.js';
import type { FileCall } from '../service.js';
import { writeFully } from '../writing.js';
import {
  type HeldUpload,
  holding,
  nextExpiry,
  notFound,
  receivedIn,
  toPartial,
  type UploadStore,
} from './store.js';
import type { UploadName } from './turns.js';

/** Gathered before it is written: frames are small. */
const GATHERED_BYTES = 512 * 1024;
/** The most that a kill in the middle of a part can cost: so often it is seen to that all is with the disk, and noted. */
const KEEP_EVERY_BYTES = 32 * 1024 * 1024;

/** Writes and keeps what comes, also when the source fails, the room runs out or too much comes: that is said after. */
export async function writePart(
  store: UploadStore,
  { offset, ...name }: UploadName & { offset: number },
  source: Readable,
  call: FileCall,
): Promise<PartialUpload> {
  return await holding(store, name, call, async ({ files, note, bytes, signal }) => {
    await prepare({ files, note, bytes }, offset);
    let kept = note;
    async function keep(receivedBytes: number) {
      const next = { ...note, receivedBytes, expiresAtMs: nextExpiry() };
      await store.notes.write(name.serverUuid, next);
      kept = next;
    }
    const claim = await files.account.claim(0);
    try {
      await pour(source, { ...bytes, offset, sizeBytes: note.sizeBytes, signal, claim, keep });
    } finally {
      claim.end(true);
    }
    return toPartial(kept);
  });
}

async function prepare({ files, note, bytes }: Omit<HeldUpload, 'signal'>, offset: number): Promise<void> {
  const receivedBytes = await receivedIn(bytes.file, note);
  if (offset !== receivedBytes) {
    throw new FileError(
      'upload.offset_mismatch',
      `The upload is at byte ${receivedBytes}: go on from there.`,
    );
  }
  const { size } = await bytes.file.stat();
  if (size === receivedBytes) return;
  await bytes.file.truncate(receivedBytes);
  files.account.credit(size - receivedBytes);
}

interface Part {
  file: FileHandle;
  offset: number;
  sizeBytes: number;
  signal: AbortSignal;
  claim: Claim;
  /** Notes that so much is with the disk. */
  keep(receivedBytes: number): Promise<void>;
}

async function pour(source: Readable, { file, offset, sizeBytes, signal, claim, keep }: Part): Promise<void> {
  let position = offset;
  let keptBytes = offset;
  async function keepAll() {
    if (position > keptBytes) await file.datasync();
    // Also without a byte more: something has come, so it does not expire soon.
    await keep(position);
    keptBytes = position;
  }
  try {
    for await (const chunk of gathered(source, signal)) {
      const fitting = chunk.subarray(0, sizeBytes - position);
      // Bytes without a name would be on the disk and nobody could count them.
      if ((await file.stat()).nlink !== 1) throw notFound();
      await claim.grow(fitting.length);
      await writeFully(file, fitting, position);
      claim.wrote(fitting.length);
      position += fitting.length;
      if (fitting.length < chunk.length) {
        throw new FileError('file.too_large', 'There were more bytes than were announced for the upload.');
      }
      if (position - keptBytes >= KEEP_EVERY_BYTES) await keepAll();
    }
  } finally {
    await keepAll();
  }
}

/** The source in larger pieces: all that came, and only then the error that ended it. */
async function* gathered(source: Readable, signal: AbortSignal): AsyncGenerator<Buffer> {
  const stop = () => source.destroy(stopped(signal));
  signal.addEventListener('abort', stop, { once: true });
  let [chunks, sizeBytes]: [Buffer[], number] = [[], 0];
  try {
    if (signal.aborted) stop();
    let failure: unknown = null;
    try {
      for await (const chunk of source.iterator({ destroyOnReturn: false })) {
        chunks.push(chunk);
        sizeBytes += chunk.length;
        if (sizeBytes < GATHERED_BYTES) continue;
        yield Buffer.concat(chunks, sizeBytes);
        [chunks, sizeBytes] = [[], 0];
      }
    } catch (error) {
      failure = error;
    }
    if (sizeBytes > 0) yield Buffer.concat(chunks, sizeBytes);
    if (signal.aborted) throw stopped(signal);
    if (failure !== null) throw failure;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function stopped({ reason }: AbortSignal): FileError {
  return reason instanceof FileError ? reason : new FileError('file.failed', 'The transfer was stopped.');
}
