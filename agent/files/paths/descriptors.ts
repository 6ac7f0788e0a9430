import {
  type BigIntStats,
  close,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  open,
  readlinkSync,
  type Stats,
} from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';

const openFile = promisify(open);
const closeLater = promisify(close);

/** Linux's O_PATH, which Node has no name for: a place in the tree, not its content. Devices and FIFOs do not notice. */
export const O_PATH = 0o10000000;

/** Whether names can be looked up in an open directory instead of along a path that may change meanwhile. */
export const canWalkByDescriptor = existsSync('/proc/self/fd');

/**
 * What is open as a place only, with the methods of a FileHandle that such a thing has. The kernel has all about it in memory,
 * so they do not wait for a thread: that would take many times as long as they do.
 */
export interface PathHandle {
  readonly fd: number;
  stat(): Promise<Stats>;
  stat(options: { bigint: true }): Promise<BigIntStats>;
  close(): Promise<void>;
}

/** @param descriptor Of a place; closed with the handle. */
export function toPathHandle(descriptor: number): PathHandle {
  let fd = descriptor;
  async function status(): Promise<Stats>;
  async function status(options: { bigint: true }): Promise<BigIntStats>;
  async function status(options?: { bigint: true }): Promise<Stats | BigIntStats> {
    return fstatSync(fd, options);
  }
  return {
    get fd() {
      return fd;
    },
    stat: status,
    async close() {
      if (fd === -1) return;
      const closed = fd;
      fd = -1;
      // The content of a file without a name goes with its last descriptor: that takes the disk's time.
      if (fstatSync(closed).nlink === 0) await closeLater(closed);
      else closeSync(closed);
    },
  };
}

/** Of what is open, as a place or otherwise. */
export function statusOf({ fd }: Pick<FileHandle, 'fd'>): Stats {
  return fstatSync(fd);
}

/** The entry of an open directory, whatever has become of the directory's name since. */
export function entryOf(directory: Pick<FileHandle, 'fd'>, name: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory.fd}/`), Buffer.from(name)]);
}

/** What the handle holds, for calls that take only paths. */
export function pathOf(handle: Pick<FileHandle, 'fd'>): string {
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
export async function openDirectory(path: string | Buffer): Promise<PathHandle> {
  return toPathHandle(await openFile(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW));
}

/** The thing itself, a symbolic link included. */
export async function openPlace(path: string | Buffer): Promise<PathHandle> {
  return toPathHandle(await openFile(path, O_PATH | constants.O_NOFOLLOW));
}
