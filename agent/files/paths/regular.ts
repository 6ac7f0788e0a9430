import { constants, type Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { FileError } from '../errors.js';
import type { Owner } from '../owner.js';
import { isRemoved, type PathHandle, pathOf } from './descriptors.js';

/** Set-user-id, set-group-id, sticky. */
export const SPECIAL_BITS = 0o7000;

/**
 * The content of a file that is open as a place. Looked at before it is opened: a FIFO or a device would notice, and may
 * never answer. What is opened is the very thing that was looked at, whatever has its name by now.
 */
export async function openRegular(
  place: PathHandle,
  flags: number,
  owner: Owner | null,
): Promise<FileHandle> {
  checkRegular(place, await place.stat(), owner);
  return await open(pathOf(place), flags | constants.O_NONBLOCK | constants.O_NOCTTY);
}

/**
 * @param status Of the place, after it was opened.
 * @throws FileError when it is no ordinary file of this server.
 */
export function checkRegular(place: PathHandle, status: Stats, owner: Owner | null): void {
  if (status.isDirectory()) throw new FileError('file.is_directory', 'This is a directory, not a file.');
  if (!status.isFile())
    throw new FileError('file.not_regular', 'This is a link or otherwise no ordinary file.');
  checkNames(place.fd, status, owner);
}

/** A second name may be that of somebody else's file, unless it is one that the server itself could have made. */
export function checkNames(place: number, { nlink, uid }: Stats, owner: Owner | null): void {
  if (uid === (owner?.uid ?? process.getuid?.())) return;
  if (nlink > 1) {
    throw new FileError(
      'file.not_regular',
      'This file has a second name (a hard link) and is not the server’s own.',
    );
  }
  // The one name that was counted may be the other one: this one was removed before.
  if (isRemoved(place)) throw new FileError('file.busy', 'The path is changing: try again.');
}

/** What is on the disk of it: a file may have holes. */
export function heldBytes({ size, blocks, nlink }: Stats): number {
  return nlink > 1 ? 0 : Math.min(size, blocks * 512);
}
