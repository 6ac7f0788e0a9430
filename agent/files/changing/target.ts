import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { FileError } from '../errors.js';
import type { PendingFiles } from '../handles/pending.js';
import { entryOf } from '../paths/descriptors.js';
import { type Place, type Root, walkToParent, withPlace } from '../paths/walk.js';
import { ignoreMissing } from './temporary.js';

export interface Target {
  /** Whether a file that is there, or on its way there, may go. */
  replace: boolean;
  pending: PendingFiles;
}

/** What is where a file shall be put, null: nothing. Rejects when it may not be put there. */
export async function lookAtTarget(place: Place, { replace, pending }: Target): Promise<Stats | null> {
  const { parent, name } = place;
  const before = (await lstat(entryOf(parent, name)).catch(ignoreMissing)) ?? null;
  if (before?.isDirectory()) throw new FileError('file.is_directory', 'There is a directory of this name.');
  if (replace) return before;
  if (before !== null) throw taken();
  await requireNothingPending(pending, place);
  return null;
}

/** For what is made in one step, which would see a file that is there, but not one that is on its way there. */
export async function requireNothingPending(pending: PendingFiles, place: Place): Promise<void> {
  if (await pending.has(place)) throw taken();
}

/** For what takes long: what would be refused at its end is better refused at its beginning. */
export async function checkTarget(root: Root, names: string[], target: Target): Promise<void> {
  try {
    await withPlace(walkToParent(root, names), (place) => lookAtTarget(place, target));
  } catch (error) {
    // Directories are made at the end.
    if (!isErrorCode(error, 'ENOENT')) throw error;
  }
}

function taken(): FileError {
  return new FileError('file.exists', 'There is a file of this name already.');
}
