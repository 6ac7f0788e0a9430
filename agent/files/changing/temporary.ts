import { constants } from 'node:fs';
import { type FileHandle, link, lstat, open, rename, unlink } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { FileError } from '../errors.js';
import type { Owner } from '../owner.js';
import { entryOf, type PathHandle } from '../paths/descriptors.js';
import { newName } from '../paths/own-names.js';

/** A new file beside the one it shall become. Nobody but us may read it before it is finished. */
export interface TemporaryFile {
  handle: FileHandle;
  /** Give it to its owner, have it with the disk, then under its name in one step. Rejects with EEXIST unless `replace`. */
  finish(name: string | Buffer, options: { mode: number; replace: boolean }): Promise<void>;
  /** Close it, and remove it unless it is finished. */
  dispose(): Promise<void>;
}

/** For reading and writing, under a name that nothing else has. */
export async function openTemporary(
  parent: PathHandle,
  mode = 0o600,
): Promise<{ handle: FileHandle; name: string }> {
  const name = newName('part');
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  return { handle: await open(entryOf(parent, name), flags, mode), name };
}

export async function createTemporary(parent: PathHandle, owner: Owner | null): Promise<TemporaryFile> {
  const { handle, name: temporaryName } = await openTemporary(parent);
  const at = entryOf(parent, temporaryName);
  let isFinished = false;
  return {
    handle,
    async finish(name, { mode, replace }) {
      if (owner !== null) await handle.chown(owner.uid, owner.gid);
      await handle.chmod(mode & 0o777);
      await handle.sync();
      if (replace) await rename(at, entryOf(parent, name));
      else await moveWithoutReplacing({ parent, name: temporaryName }, { parent, name });
      isFinished = true;
    },
    async dispose() {
      await handle.close();
      if (!isFinished) await unlink(at).catch(ignoreMissing);
    },
  };
}

interface At {
  parent: PathHandle;
  name: string | Buffer;
}

/** In one step for everything but directories, which can at worst replace an empty one that appears just then. */
export async function moveWithoutReplacing(from: At, to: At): Promise<void> {
  const [source, target] = [entryOf(from.parent, from.name), entryOf(to.parent, to.name)];
  if (!(await lstat(source)).isDirectory()) {
    try {
      await link(source, target);
      return await unlink(source);
    } catch (error) {
      // Some file systems have no second names, or not for what belongs to others.
      const hasLinks = !['EPERM', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].some((code) => isErrorCode(error, code));
      if (hasLinks) throw error;
    }
  }
  if (await lstat(target).catch(ignoreMissing)) {
    throw new FileError('file.exists', 'There is a file or directory of this name already.');
  }
  await rename(source, target);
}

export function ignoreMissing(error: unknown): void {
  if (!isErrorCode(error, 'ENOENT')) throw error;
}
