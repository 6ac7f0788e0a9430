import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { resize } from '../changing/attributes.js';
import { requireNothingPending } from '../changing/target.js';
import { FileError } from '../errors.js';
import type { Owner } from '../owner.js';
import { entryOf, openPlace } from '../paths/descriptors.js';
import { openThing } from '../paths/lookup.js';
import { openRegular, SPECIAL_BITS } from '../paths/regular.js';
import { type Place, type Root, walkToParent } from '../paths/walk.js';
import { type Account, ENTRY_BYTES } from '../quota/quota.js';
import { type AtCloseOptions, type Coming, openAtClose } from './at-close.js';
import type { PendingFiles } from './pending.js';

const FILE_MODE = 0o644;
/** Somebody may remove and make the file between our looks. */
const TRIES_MAX = 5;

export interface Opening {
  read: boolean;
  write: boolean;
  append: boolean;
  create: boolean;
  exclusive: boolean;
  truncate: boolean;
  mode?: number | undefined;
  atClose: boolean;
}

export interface OpeningContext {
  root: Root;
  owner: Owner | null;
  account: Account;
  pending: PendingFiles;
  beginWriting: AtCloseOptions['beginWriting'];
}

export interface Opened {
  handle: FileHandle;
  /** Null: the file itself is open, under the name that it has. */
  coming: Coming | null;
  /** Whether there was nothing under its name before. */
  isNew: boolean;
}

/** For reading, a link that leads to a file within the server's directory is followed; who writes must name the file itself. */
export async function openFile(names: string[], opening: Opening, context: OpeningContext): Promise<Opened> {
  const { root, owner } = context;
  if (!opening.write && !opening.append) {
    const place = await openThing(context, names, true);
    try {
      const handle = await openRegular(place, constants.O_RDONLY, owner);
      return { handle, coming: null, isNew: false };
    } finally {
      await place.close();
    }
  }
  const place = await walkToParent(root, names);
  let isKept = false;
  try {
    if (!comesAtClose(opening)) return await openInPlace(place, opening, context);
    const { mode = FILE_MODE, exclusive: isExclusive } = opening;
    const opened = await openAtClose(place, { ...context, mode, isExclusive });
    isKept = true;
    return opened;
  } finally {
    if (!isKept) await place.parent.close();
  }
}

function comesAtClose({ atClose, write, append, create, truncate, exclusive }: Opening): boolean {
  return atClose && write && !append && create && (truncate || exclusive);
}

async function openInPlace(place: Place, opening: Opening, context: OpeningContext): Promise<Opened> {
  const { owner, account, pending } = context;
  const isToBeMade = opening.create && opening.exclusive;
  if (isToBeMade) await requireNothingPending(pending, place);
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const existing = isToBeMade ? null : await openExisting(place, opening, { owner, pending });
    const handle = existing ?? (await createFile(place, opening, { owner, account }));
    if (handle === null) continue;
    try {
      if (opening.truncate) await resize(handle, 0, account);
      return { handle, coming: null, isNew: existing === null };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }
  throw new FileError('file.busy', 'The path is changing: try again.');
}

function flagsOf({ read, append }: Opening): number {
  return (read ? constants.O_RDWR : constants.O_WRONLY) | (append ? constants.O_APPEND : 0);
}

/** Null: there is none, and one may be made. */
async function openExisting(
  at: Place,
  opening: Opening,
  { owner, pending }: { owner: Owner | null; pending: PendingFiles },
): Promise<FileHandle | null> {
  const nullIfToBeMade = (error: unknown) => {
    if (isErrorCode(error, 'ENOENT') && opening.create) return null;
    throw error;
  };
  const place =
    (await pending.open(at)) ?? (await openPlace(entryOf(at.parent, at.name)).catch(nullIfToBeMade));
  if (place === null) return null;
  try {
    const file = await openRegular(place, flagsOf(opening), owner);
    const { mode } = await file.stat();
    // The kernel takes them away when anybody but root writes.
    if ((mode & SPECIAL_BITS) !== 0) await file.chmod(mode & 0o777);
    return file;
  } finally {
    await place.close();
  }
}

/** Null: somebody else has just made it, and that one will do. */
async function createFile(
  { parent, name }: Place,
  opening: Opening,
  { owner, account }: { owner: Owner | null; account: Account },
): Promise<FileHandle | null> {
  const { mode = FILE_MODE } = opening;
  const claim = await account.claim(ENTRY_BYTES);
  let isKept = false;
  try {
    const flags = flagsOf(opening) | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(entryOf(parent, name), flags, mode & 0o777);
    isKept = true;
    claim.wrote(ENTRY_BYTES);
    try {
      if (owner !== null) await file.chown(owner.uid, owner.gid);
      await file.chmod(mode & 0o777);
    } catch (error) {
      await file.close();
      throw error;
    }
    return file;
  } catch (error) {
    if (!opening.exclusive && isErrorCode(error, 'EEXIST')) return null;
    throw error;
  } finally {
    claim.end(isKept);
  }
}
