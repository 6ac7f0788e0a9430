import { type FileHandle, lstat, rename, unlink } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { ignoreMissing, moveWithoutReplacing, openTemporary } from '../changing/temporary.js';
import { FileError } from '../errors.js';
import type { Owner } from '../owner.js';
import { entryOf, type PathHandle, statusOf } from '../paths/descriptors.js';
import { heldBytes } from '../paths/regular.js';
import type { Place } from '../paths/walk.js';
import { type Account, ENTRY_BYTES } from '../quota/quota.js';
import {
  identify,
  newestOf,
  type PendingFile,
  type PendingFiles,
  type PendingNames,
  statusAt,
  versionOf,
} from './pending.js';

export interface AtClose {
  handle: FileHandle;
  coming: Coming;
  /** Whether there is nothing under its name, neither on the disk nor pending. */
  isNew: boolean;
}

/** A file that comes to its name when it is closed. One of the two ends it; the handle is closed after. */
export interface Coming {
  /**
   * Give it to its owner, have it with the disk if it replaces another, then under its name in one step. One whose name was removed goes nowhere,
   * without an error, nor does an abandoned one when something newer is there. Rejects, with nothing of it left, when a write
   * was refused before: the old file is worth more than a part of the new one.
   */
  finish(options: { isWritten: boolean; isAbandoned: boolean }): Promise<{ isDropped: boolean }>;
  discard(): Promise<void>;
  /** Something of it could not be written. */
  fail(error: unknown): void;
}

export interface AtCloseOptions {
  /** Of a file that is new; another keeps its own. */
  mode: number;
  /** Only where there is nothing: neither now nor, by somebody else's doing, when it is closed. */
  isExclusive: boolean;
  owner: Owner | null;
  account: Account;
  pending: PendingFiles;
  /** Called before anything is made; what it gives is called when nothing can be left over any more. */
  beginWriting(): () => void;
}

/** @param place Its directory is closed with the file once there is one. */
export async function openAtClose(place: Place, options: AtCloseOptions): Promise<AtClose> {
  const { pending, owner, beginWriting } = options;
  const endWriting = beginWriting();
  const { file, isNew } = await pending
    .withLock((names) => begin(place, names, options))
    .catch((error: unknown) => {
      endWriting();
      throw error;
    });
  let failure: unknown = null;

  async function end(work: (names: PendingNames) => Promise<void>): Promise<void> {
    try {
      await pending.withLock(async (names) => {
        if (file.isNamed) await work(names);
      });
    } finally {
      await file.parent.close();
      endWriting();
    }
  }
  const discard = () => end((names) => names.removeName(file));

  return {
    handle: file.handle,
    isNew,
    coming: {
      discard,
      fail(error) {
        failure ??= error;
      },
      async finish({ isWritten, isAbandoned }) {
        let isDropped = false;
        try {
          if (failure !== null) throw failure;
          if (file.isNamed) await settle(file.handle, { owner, isToLast: isWritten && file.onDisk !== null });
        } catch (error) {
          await discard();
          throw error;
        }
        await end(async (names) => {
          isDropped = isAbandoned && (await isOutdone(file, names));
          await (isDropped ? names.removeName(file) : put(file, names));
        });
        return { isDropped };
      },
    },
  };
}

async function begin(
  { parent, name }: Place,
  names: PendingNames,
  { mode, isExclusive, account }: AtCloseOptions,
): Promise<{ file: PendingFile; isNew: boolean }> {
  const directory = await identify(parent);
  const shown = newestOf(names.in(directory, name));
  const onDisk = await statusAt({ parent, name });
  const before = shown === null ? onDisk : statusOf(shown.handle);
  if (before && isExclusive) throw new FileError('file.exists', 'There is a file of this name already.');
  if (before?.isDirectory()) throw new FileError('file.is_directory', 'There is a directory of this name.');
  const claim = await account.claim(ENTRY_BYTES);
  try {
    const temporary = await makeTemporary(parent, before?.isFile() ? Number(before.mode) : mode);
    claim.wrote(ENTRY_BYTES);
    const state = { isNamed: true, isShown: true, mayReplace: !isExclusive };
    const file = { parent, directory, name, ...temporary, account, onDisk: versionOf(onDisk), ...state };
    names.add(file);
    return { file, isNew: before === null };
  } finally {
    claim.end(true);
  }
}

async function makeTemporary(parent: PathHandle, mode: number) {
  const { handle, name: temporaryName } = await openTemporary(parent, mode & 0o777);
  try {
    // What the process takes away from every new file.
    if ((statusOf(handle).mode & 0o777) !== (mode & 0o777)) await handle.chmod(mode & 0o777);
    return { handle, temporaryName };
  } catch (error) {
    await handle.close();
    await unlink(entryOf(parent, temporaryName)).catch(ignoreMissing);
    throw error;
  }
}

/**
 * Where it takes the place of another file, it is with the disk before: some file systems have an empty file there when the power
 * fails after the rename. Where there was nothing, nothing is lost that another SFTP server would keep, and a thousand small
 * files take half the time.
 */
async function settle(
  handle: FileHandle,
  { owner, isToLast }: { owner: Owner | null; isToLast: boolean },
): Promise<void> {
  if (owner !== null) await handle.chown(owner.uid, owner.gid);
  if (isToLast) await handle.sync();
}

/** Whether something is under its name that came later than it, from users or from the game. */
async function isOutdone(file: PendingFile, names: PendingNames): Promise<boolean> {
  const isMet = newestOf(names.in(file.directory, file.name)) === file;
  return !isMet || versionOf(await statusAt(file)) !== file.onDisk;
}

async function put(file: PendingFile, names: PendingNames): Promise<void> {
  try {
    const [from, to] = [{ ...file, name: file.temporaryName }, file];
    // What has appeared since is counted with the next measurement.
    const before = file.onDisk && (await lstat(entryOf(to.parent, to.name)).catch(ignoreMissing));
    if (file.mayReplace) await rename(entryOf(from.parent, from.name), entryOf(to.parent, to.name));
    else await moveWithoutReplacing(from, to);
    if (before) file.account.credit(heldBytes(before));
  } catch (error) {
    await names.removeName(file);
    if (!isErrorCode(error, 'ENOENT')) throw error;
    const sentence = 'Somebody has removed what was being written, or its directory: write it again.';
    throw new FileError('file.not_found', sentence, { cause: error });
  }
  const others = names.in(file.directory, file.name);
  const older = others.slice(0, others.indexOf(file));
  names.delete(file);
  for (const other of older) other.isShown = false;
  if (others.length === 1) return;
  const onDisk = versionOf(await statusAt(file));
  for (const other of others) if (!older.includes(other)) other.onDisk = onDisk;
}
