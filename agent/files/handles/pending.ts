import type { BigIntStats } from 'node:fs';
import { type FileHandle, lstat, unlink } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { entryOf, openPlace, type PathHandle } from '../paths/descriptors.js';
import { heldBytes } from '../paths/regular.js';
import type { Place } from '../paths/walk.js';
import { type Account, ENTRY_BYTES } from '../quota/quota.js';

/** A file that is still being written, in a temporary beside the name that it gets when it is closed. */
export interface PendingFile {
  /** Its own, open as long as it is: the number of the directory is nobody else's meanwhile. */
  parent: PathHandle;
  /** Which directory that is. */
  directory: string;
  name: string;
  temporaryName: string;
  handle: FileHandle;
  account: Account;
  /** What was under its name on the disk when it came to it; null: nothing. */
  onDisk: string | null;
  /** False once its name was removed or given to another: what is written goes nowhere then, as with any open file. */
  isNamed: boolean;
  /** False once something newer is under its name, where it will come all the same. */
  isShown: boolean;
  /** False: it comes only to where there is nothing. */
  mayReplace: boolean;
}

/** The pending files of one server. Whoever asks for one by its name gets its temporary. */
export interface PendingFiles {
  isEmpty(): boolean;
  /** What has this name, open as a place; null: nothing that is pending. */
  open(place: Place): Promise<PathHandle | null>;
  has(place: Place): Promise<boolean>;
  /** The temporaries in a directory, by the names that they will get. */
  namesIn(directory: PathHandle): Promise<Map<string, string>>;
  /** Something newer has been put under the name. */
  hide(place: Place): Promise<void>;
  /** Take the name from what is pending there. @returns Whether there was such a file. */
  removeName(place: Place): Promise<boolean>;
  /** The same of all in a directory. @returns How many. */
  removeNamesIn(directory: PathHandle): Promise<number>;
  /** Names change only here, one after the other; none of the methods above may be called meanwhile: it would never end. */
  withLock<Result>(work: (names: PendingNames) => Promise<Result>): Promise<Result>;
}

/** To be used while they are locked. */
export interface PendingNames {
  /** Oldest first. Several may come to one name, one after the other. */
  of(place: Place): Promise<PendingFile[]>;
  in(directory: string, name: string): PendingFile[];
  add(file: PendingFile): void;
  /** It is no longer pending; its temporary is whoever's who calls. */
  delete(file: PendingFile): void;
  /** It will not come to its name: its temporary is removed. */
  removeName(file: PendingFile): Promise<void>;
}

/** The one that is met under their name. */
export function newestOf(files: PendingFile[]): PendingFile | null {
  return files.findLast(({ isShown }) => isShown) ?? null;
}

/** A directory by what does not change when it is renamed. */
export async function identify(directory: PathHandle): Promise<string> {
  const { dev, ino } = await directory.stat({ bigint: true });
  return `${dev}:${ino}`;
}

/** What is under a name on the disk, whatever is pending there. */
export async function statusAt({ parent, name }: Place): Promise<BigIntStats | null> {
  return await lstat(entryOf(parent, name), { bigint: true }).catch(nullIfMissing);
}

/** Another text once it is another file or has other content. */
export function versionOf(status: BigIntStats | null): string | null {
  return status && [status.dev, status.ino, status.size, status.mtimeNs].join(':');
}

function nullIfMissing(error: unknown): null {
  if (isErrorCode(error, 'ENOENT')) return null;
  throw error;
}

/** As many as there are handles at most: looking through them takes no time. */
export function createPendingFiles(): PendingFiles {
  let files: PendingFile[] = [];
  let last: Promise<unknown> = Promise.resolve();

  const names: PendingNames = {
    of: async ({ parent, name }) => (files.length === 0 ? [] : names.in(await identify(parent), name)),
    in: (directory, name) => files.filter((file) => file.directory === directory && file.name === name),
    add: (file) => void files.push(file),
    delete(file) {
      files = files.filter((other) => other !== file);
    },
    async removeName(file) {
      names.delete(file);
      file.isNamed = false;
      const status = await file.handle.stat();
      try {
        await unlink(entryOf(file.parent, file.temporaryName));
        file.account.credit(heldBytes(status) + ENTRY_BYTES);
      } catch (error) {
        if (!isErrorCode(error, 'ENOENT')) throw error;
      }
    },
  };

  function withLock<Result>(work: (names: PendingNames) => Promise<Result>): Promise<Result> {
    const begun = last.then(() => work(names));
    last = begun.catch(() => {});
    return begun;
  }

  /** Most servers have none most of the time: then nobody waits for a lock. */
  async function whenAny<Result>(none: Result, work: () => Promise<Result>): Promise<Result> {
    return files.length === 0 ? none : await withLock(work);
  }

  return {
    isEmpty: () => files.length === 0,
    open: (place) =>
      whenAny(null, async () => {
        const file = newestOf(await names.of(place));
        return file === null ? null : await openTemporaryOf(file);
      }),
    has: (place) => whenAny(false, async () => newestOf(await names.of(place)) !== null),
    namesIn: (directory) =>
      whenAny(new Map(), async () => {
        const key = await identify(directory);
        const found = files.filter((file) => file.isShown && file.directory === key);
        return new Map(found.map(({ name, temporaryName }) => [name, temporaryName]));
      }),
    hide: (place) =>
      whenAny(undefined, async () => {
        for (const file of await names.of(place)) file.isShown = false;
      }),
    removeName: (place) =>
      whenAny(false, async () => {
        const found = await names.of(place);
        const isShown = newestOf(found) !== null;
        for (const file of found) await names.removeName(file);
        return isShown;
      }),
    removeNamesIn: (directory) =>
      whenAny(0, async () => {
        const key = await identify(directory);
        const found = files.filter((file) => file.directory === key);
        for (const file of found) await names.removeName(file);
        return found.filter(({ isShown }) => isShown).length;
      }),
    withLock,
  };
}

/** Null: somebody else has removed it, which who closes it will be told. */
async function openTemporaryOf({ parent, temporaryName }: PendingFile): Promise<PathHandle | null> {
  try {
    return await openPlace(entryOf(parent, temporaryName));
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return null;
    throw error;
  }
}
