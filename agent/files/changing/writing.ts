import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { FileEntry } from '../../../src/protocol/data-plane.js';
import { FileError } from '../errors.js';
import { toEntry } from '../listing/entry.js';
import type { Owner } from '../owner.js';
import { heldBytes } from '../paths/regular.js';
import type { Place } from '../paths/walk.js';
import { type Account, type Claim, ENTRY_BYTES } from '../quota/quota.js';
import { portionsOf, writeFully } from './portions.js';
import { lookAtTarget, type Target } from './target.js';
import { createTemporary } from './temporary.js';

const FILE_MODE = 0o644;

export interface Writing extends Target {
  owner: Owner | null;
  account: Account;
  signal: AbortSignal;
  /** Null: not known. */
  sizeBytes: number | null;
}

/** All of the source under this name, or nothing of it. */
export async function writeFile(place: Place, source: Readable, writing: Writing): Promise<FileEntry> {
  const { owner, account, signal, replace, sizeBytes } = writing;
  const before = await lookAtTarget(place, writing);
  const claim = await account.claim((sizeBytes ?? 0) + ENTRY_BYTES);
  let isKept = false;
  try {
    const temporary = await createTemporary(place.parent, owner);
    try {
      claim.wrote(ENTRY_BYTES);
      await pour(source, temporary.handle, { signal, sizeBytes, claim });
      const mode = before?.isFile() ? before.mode : FILE_MODE;
      signal.throwIfAborted();
      await temporary.finish(place.name, { mode, replace });
      isKept = true;
      await writing.pending.hide(place);
      if (before !== null) account.credit(heldBytes(before));
      return toEntry(place.name, await temporary.handle.stat());
    } finally {
      await temporary.dispose();
    }
  } finally {
    claim.end(isKept);
  }
}

interface Pouring {
  signal: AbortSignal;
  sizeBytes: number | null;
  claim: Claim;
}

async function pour(source: Readable, file: FileHandle, pouring: Pouring): Promise<void> {
  const { signal, sizeBytes, claim } = pouring;
  let position = 0;
  for await (const { pieces, bytes } of portionsOf(source, signal)) {
    if (sizeBytes !== null && bytes > sizeBytes - position) {
      throw new FileError('file.failed', 'There were more bytes than were announced.');
    }
    if (sizeBytes === null) await claim.grow(bytes);
    await writeFully(file, pieces, position);
    claim.wrote(bytes);
    position += bytes;
  }
  if (sizeBytes !== null && position !== sizeBytes) {
    throw new FileError(
      'file.failed',
      'The transfer was cut off: there were fewer bytes than were announced.',
    );
  }
}
