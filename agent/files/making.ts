import { chmod, chown, type FileHandle, mkdir } from 'node:fs/promises';
import { isErrorCode } from '../atomic-file.js';
import { entryOf, openDirectory, pathOf } from './descriptors.js';
import { type Account, ENTRY_BYTES } from './quota.js';
import type { Owner } from './sandbox.js';

const DIRECTORY_MODE = 0o755;

export interface Making {
  owner: Owner | null;
  account: Account;
  mode?: number;
}

/** @returns The new directory, to be closed by who gets it. Rejects with EEXIST when there is something of this name. */
export async function makeDirectory(
  parent: FileHandle,
  name: string | Buffer,
  making: Making,
): Promise<FileHandle> {
  const { owner, account, mode = DIRECTORY_MODE } = making;
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

/** As one of the directories on the way, which may be there by now. */
export async function makeIfMissing(parent: FileHandle, name: string, making: Making): Promise<void> {
  try {
    await (await makeDirectory(parent, name, making)).close();
  } catch (error) {
    if (!isErrorCode(error, 'EEXIST')) throw error;
  }
}
