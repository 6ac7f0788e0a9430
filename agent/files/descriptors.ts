import { constants, existsSync, readlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** Linux's O_PATH, which Node has no name for: a place in the tree, not its content. Devices and FIFOs do not notice. */
export const O_PATH = 0o10000000;

/** Whether names can be looked up in an open directory instead of along a path that may change meanwhile. */
export const canWalkByDescriptor = existsSync('/proc/self/fd');

/** The entry of an open directory, whatever has become of the directory's name since. */
export function entryOf(directory: FileHandle, name: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory.fd}/`), Buffer.from(name)]);
}

/** What the handle holds, for calls that take only paths. */
export function pathOf(handle: FileHandle): string {
  return `/proc/self/fd/${handle.fd}`;
}

/**
 * Whether the name that a place was opened by is gone. Also said of a name that ends like what the system says then. Does not
 * wait for any disk.
 */
export function isRemoved(place: number): boolean {
  return readlinkSync(`/proc/self/fd/${place}`).endsWith(' (deleted)');
}

/** Rejects with ENOTDIR when it is a symbolic link, also one to a directory. */
export function openDirectory(path: string | Buffer): Promise<FileHandle> {
  return open(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
}

/** The thing itself, a symbolic link included. */
export function openPlace(path: string | Buffer): Promise<FileHandle> {
  return open(path, O_PATH | constants.O_NOFOLLOW);
}
