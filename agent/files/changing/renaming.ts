import { lstat, rename } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { FileError } from '../errors.js';
import {
  identify,
  newestOf,
  type PendingFile,
  type PendingFiles,
  type PendingNames,
  statusAt,
  versionOf,
} from '../handles/pending.js';
import { entryOf, openDirectory, pathOf } from '../paths/descriptors.js';
import { heldBytes } from '../paths/regular.js';
import type { Place } from '../paths/walk.js';
import type { Account } from '../quota/quota.js';
import { ignoreMissing, moveWithoutReplacing } from './temporary.js';

export interface Renaming {
  replace: boolean;
  account: Account;
}

/** A link is renamed itself. `replace`: a file in the way goes in the same step, a directory only if it is empty. */
export async function renameEntry(
  from: Place,
  to: Place,
  { pending, ...renaming }: Renaming & { pending: PendingFiles },
): Promise<void> {
  if (pending.isEmpty()) await renameThing(from, to, renaming);
  else await pending.withLock((names) => renameWhileLocked(from, to, { ...renaming, names }));
}

/** What is on the disk, whatever is pending. */
async function renameThing(from: Place, to: Place, { replace, account }: Renaming): Promise<void> {
  if (!replace) return await moveWithoutReplacing(from, to);
  const target = entryOf(to.parent, to.name);
  const moved = await lstat(entryOf(from.parent, from.name));
  const before = await lstat(target).catch(ignoreMissing);
  try {
    await rename(entryOf(from.parent, from.name), target);
  } catch (error) {
    if (!isErrorCode(error, 'ENOTDIR')) throw error;
    throw fileInTheWay({ cause: error });
  }
  if (!before) return;
  const isSame = before.ino === moved.ino && before.dev === moved.dev;
  if (!isSame) account.credit(heldBytes(before));
}

/**
 * A pending file comes to its new name when it is closed, and what was under the old one before is renamed now: as if it
 * had not been opened yet. One whose name is given to another will not come.
 */
async function renameWhileLocked(
  from: Place,
  to: Place,
  { names, ...renaming }: Renaming & { names: PendingNames },
): Promise<void> {
  const moving = await names.of(from);
  const replaced = await names.of(to);
  const isPending = newestOf(moving) !== null;
  const isInTheWay = newestOf(replaced) !== null;
  if (isInTheWay && !renaming.replace) throw taken();
  if (isPending && moving[0] === replaced[0]) return;
  const before = (await lstat(entryOf(from.parent, from.name)).catch(ignoreMissing)) ?? null;
  if (isPending) await requireRoom(to, renaming.replace);
  else if (isInTheWay && before?.isDirectory()) throw fileInTheWay();
  const isOnDisk = before !== null && !before.isDirectory();
  if (!isPending || isOnDisk) await renameThing(from, to, renaming);
  for (const file of moving) {
    await movePending(file, to, renaming.replace);
    if (!isOnDisk) file.onDisk = versionOf(await statusAt(to));
  }
  for (const file of replaced) if (!moving.includes(file)) await names.removeName(file);
}

async function requireRoom(to: Place, replace: boolean): Promise<void> {
  const before = await lstat(entryOf(to.parent, to.name)).catch(ignoreMissing);
  if (before?.isDirectory()) throw new FileError('file.is_directory', 'There is a directory of this name.');
  if (before && !replace) throw taken();
}

async function movePending(file: PendingFile, to: Place, replace: boolean): Promise<void> {
  const before = file.parent;
  const parent = await openDirectory(`${pathOf(to.parent)}/.`);
  try {
    const directory = await identify(parent);
    // Somebody else may have removed it, which who closes it will be told.
    await rename(entryOf(before, file.temporaryName), entryOf(parent, file.temporaryName)).catch(
      ignoreMissing,
    );
    file.mayReplace ||= replace;
    Object.assign(file, { parent, directory, name: to.name });
  } catch (error) {
    await parent.close();
    throw error;
  }
  await before.close();
}

function taken(): FileError {
  return new FileError('file.exists', 'There is a file or directory of this name already.');
}

function fileInTheWay(options?: ErrorOptions): FileError {
  return new FileError('file.exists', 'There is a file in the place of the directory.', options);
}
