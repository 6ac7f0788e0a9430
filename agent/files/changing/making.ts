import { chmod, chown, mkdir } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { FileError } from '../errors.js';
import type { PendingFiles } from '../handles/pending.js';
import type { Owner } from '../owner.js';
import { entryOf, openDirectory, type PathHandle, pathOf } from '../paths/descriptors.js';
import { type Account, ENTRY_BYTES } from '../quota/quota.js';
import { requireNothingPending } from './target.js';

const DIRECTORY_MODE = 0o755;

export interface Making {
  owner: Owner | null;
  account: Account;
  pending: PendingFiles;
  mode?: number | undefined;
}

/** @returns The new directory, to be closed by who gets it. Rejects with EEXIST when there is something of this name. */
export async function makeDirectory(
  parent: PathHandle,
  name: string | Buffer,
  making: Making,
): Promise<PathHandle> {
  await requireNothingPending(making.pending, { parent, name: name.toString() });
  return await makeOnDisk(parent, name, making);
}

/** As one of the directories on the way, which may be there by now. */
export async function makeIfMissing(parent: PathHandle, name: string, making: Making): Promise<void> {
  if (await making.pending.has({ parent, name })) {
    throw new FileError('file.not_directory', `"${name}" is not a directory.`);
  }
  try {
    await (await makeOnDisk(parent, name, making)).close();
  } catch (error) {
    if (!isErrorCode(error, 'EEXIST')) throw error;
  }
}

async function makeOnDisk(
  parent: PathHandle,
  name: string | Buffer,
  { owner, account, mode = DIRECTORY_MODE }: Making,
): Promise<PathHandle> {
  const at = entryOf(parent, name);
  const claim = await account.claim(ENTRY_BYTES);
  let isKept = false;
  try {
    await mkdir(at, DIRECTORY_MODE);
    isKept = true;
    claim.wrote(ENTRY_BYTES);
    const made = await openDirectory(at);
    try {
      if (owner !== null) await chown(pathOf(made), owner.uid, owner.gid);
      // Also for the set-group-id bit that is inherited from the directory above.
      await chmod(pathOf(made), mode & 0o777);
      return made;
    } catch (error) {
      await made.close();
      throw error;
    }
  } finally {
    claim.end(isKept);
  }
}
