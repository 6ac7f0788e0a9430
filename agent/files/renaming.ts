import { lstat, rename } from 'node:fs/promises';
import { isErrorCode } from '../atomic-file.js';
import { entryOf } from './descriptors.js';
import { FileError } from './errors.js';
import type { Account } from './quota.js';
import { heldBytes } from './regular.js';
import { ignoreMissing, moveWithoutReplacing } from './temporary.js';
import type { Place } from './walk.js';

/** A link is renamed itself. `replace`: a file in the way goes in the same step, a directory only if it is empty. */
export async function renameEntry(from: Place, to: Place, options: { replace: boolean; account: Account }) {
  if (!options.replace) return await moveWithoutReplacing(from, to);
  const target = entryOf(to.parent, to.name);
  const [moved, before] = [
    await lstat(entryOf(from.parent, from.name)),
    await lstat(target).catch(ignoreMissing),
  ];
  try {
    await rename(entryOf(from.parent, from.name), target);
  } catch (error) {
    if (!isErrorCode(error, 'ENOTDIR')) throw error;
    throw new FileError('file.exists', 'There is a file in the place of the directory.', { cause: error });
  }
  if (!before) return;
  const isSame = before.ino === moved.ino && before.dev === moved.dev;
  if (!isSame) options.account.credit(heldBytes(before));
}
