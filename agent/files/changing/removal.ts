import { lstat, rmdir, unlink } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { FileError } from '../errors.js';
import type { PendingFiles } from '../handles/pending.js';
import { batchesIn } from '../listing/listing.js';
import { shownIn } from '../listing/shown.js';
import { entryOf, openDirectory, type PathHandle } from '../paths/descriptors.js';
import { DEPTH_MAX } from '../paths/paths.js';
import { heldBytes } from '../paths/regular.js';
import type { Place } from '../paths/walk.js';
import type { Account } from '../quota/quota.js';
import { together } from '../together.js';

const AT_ONCE = 32;
/** A directory to which something is added while it is emptied is emptied again, so often. */
const TRIES_MAX = 3;

export interface Removal {
  recursive: boolean;
  account: Account;
  pending: PendingFiles;
  signal: AbortSignal;
}

/** Links are removed, never followed; nor is a disk entered that is mounted in the directory. @returns How many there were. */
export async function removeEntry(place: Place, removal: Removal): Promise<number> {
  const at = entryOf(place.parent, place.name);
  const wasPending = await removal.pending.removeName(place);
  const status = await lstat(at).catch((error: unknown) => {
    if (wasPending && isErrorCode(error, 'ENOENT')) return null;
    throw error;
  });
  if (status === null || (wasPending && status.isDirectory())) return 1;
  if (!status.isDirectory()) {
    await unlink(at);
    removal.account.credit(heldBytes(status));
    return 1;
  }
  const remove = () =>
    removeDirectory(place.parent, Buffer.from(place.name), { ...removal, device: status.dev, depth: 0 });
  if (removal.recursive) return await remove();
  try {
    await rmdir(at);
  } catch (error) {
    if (!isErrorCode(error, 'ENOTEMPTY') || !(await looksEmpty(at, removal.pending))) throw error;
    await remove();
  }
  return 1;
}

/** What is not finished is nothing that its user could remove before. */
async function looksEmpty(at: Buffer, pending: PendingFiles): Promise<boolean> {
  const directory = await openDirectory(at);
  try {
    for await (const _shown of shownIn(directory, pending)) return false;
    return true;
  } finally {
    await directory.close();
  }
}

interface Descent extends Removal {
  device: number;
  depth: number;
}

async function removeDirectory(parent: PathHandle, name: Buffer, descent: Descent): Promise<number> {
  if (descent.depth > DEPTH_MAX) {
    throw new FileError(
      'file.failed',
      `More than ${DEPTH_MAX} directories are in one another: remove the inner ones first.`,
    );
  }
  const at = entryOf(parent, name);
  let removed = 0;
  for (let tries = 1; ; tries += 1) {
    const directory = await openDirectory(at);
    try {
      if ((await directory.stat()).dev !== descent.device) {
        throw new FileError('file.busy', 'A disk is mounted in this directory.');
      }
      removed += await descent.pending.removeNamesIn(directory);
      removed += await removeContent(directory, descent);
    } finally {
      await directory.close();
    }
    try {
      await rmdir(at);
      return removed + 1;
    } catch (error) {
      if (tries === TRIES_MAX || !isErrorCode(error, 'ENOTEMPTY')) throw error;
    }
  }
}

async function removeContent(directory: PathHandle, descent: Descent): Promise<number> {
  let removed = 0;
  for await (const batch of batchesIn(directory, AT_ONCE)) {
    descent.signal.throwIfAborted();
    const directories: Buffer[] = [];
    const work = batch.map(async (name) => {
      const outcome = await removeUnlessDirectory(entryOf(directory, name), descent.account);
      if (outcome === 'directory') directories.push(name);
      if (outcome === 'removed') removed += 1;
    });
    await together(work);
    for (const name of directories) {
      removed += await removeDirectory(directory, name, { ...descent, depth: descent.depth + 1 });
    }
  }
  return removed;
}

async function removeUnlessDirectory(
  at: Buffer,
  account: Account,
): Promise<'directory' | 'removed' | 'gone'> {
  try {
    const status = await lstat(at);
    if (status.isDirectory()) return 'directory';
    await unlink(at);
    account.credit(heldBytes(status));
    return 'removed';
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return 'gone';
    throw error;
  }
}
