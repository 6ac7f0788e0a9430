import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { PartialUpload } from '../../../src/protocol/data-plane.js';
import { firstOf, portionsOf, writeFully } from '../changing/portions.js';
import type { FileCall } from '../contract.js';
import { FileError } from '../errors.js';
import type { Claim } from '../quota/quota.js';
import {
  type HeldUpload,
  holding,
  nextExpiry,
  notFound,
  receivedIn,
  toPartial,
  type UploadStore,
} from './store.js';
import type { UploadName } from './upload-locks.js';

/** About what a kill in the middle of a part can cost: so often it is seen to that all is with the disk, and noted. */
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

async function pour(source: Readable, part: Part): Promise<void> {
  const { file, offset, sizeBytes, signal, claim } = part;
  const keeper = createKeeper(part);
  let position = offset;
  try {
    for await (const { pieces, bytes } of portionsOf(source, signal)) {
      const fittingBytes = Math.min(bytes, sizeBytes - position);
      await claim.grow(fittingBytes);
      await writeFully(file, firstOf(pieces, fittingBytes), position);
      claim.wrote(fittingBytes);
      position += fittingBytes;
      if (fittingBytes < bytes) {
        throw new FileError('file.too_large', 'There were more bytes than were announced for the upload.');
      }
      if (!keeper.goesOn(position)) break;
    }
  } finally {
    await keeper.end(position);
  }
}

/** Sees to it that what was written is with the disk and noted: beside the writing, which need not wait for it. */
function createKeeper({ file, offset, keep }: Part) {
  let begunBytes = offset;
  let isBusy = false;
  let hasFailed = false;
  let work: Promise<void> = Promise.resolve();

  async function keepUpTo(position: number): Promise<void> {
    isBusy = true;
    await file.datasync();
    // Bytes without a name are on the disk as long as it is open, and nobody can count them.
    if ((await file.stat()).nlink !== 1) throw notFound();
    await keep(position);
    isBusy = false;
  }

  return {
    /** @returns False when something is wrong, which `end` will say: a disk tells its errors only once. */
    goesOn(position: number): boolean {
      if (hasFailed) return false;
      if (isBusy || position - begunBytes < KEEP_EVERY_BYTES) return true;
      begunBytes = position;
      work = keepUpTo(position);
      work.catch(() => {
        hasFailed = true;
      });
      return true;
    },
    /** Also without a byte more it is noted: something has come, so the upload does not expire soon. */
    async end(position: number): Promise<void> {
      await work;
      await keepUpTo(position);
    },
  };
}
