import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open, unlink } from 'node:fs/promises';
import { ignoreMissing } from '../changing/temporary.js';
import type { Owner } from '../owner.js';
import { entryOf, openPlace, type PathHandle, pathOf } from '../paths/descriptors.js';
import { nameOfUpload } from '../paths/own-names.js';
import { heldBytes } from '../paths/regular.js';
import { walkToParent, withPlace } from '../paths/walk.js';
import type { ServerFiles } from '../server-files.js';

/**
 * The bytes of an upload are in the topmost directory of the server, so that its disk limit counts them and one rename
 * puts them in their place. It is the game's directory: whatever has the name is looked at each time before it is used.
 * To be used only until the `use` that it is given to has ended.
 */
export interface UploadBytes {
  file: FileHandle;
  parent: PathHandle;
  name: string;
}

/** Nobody but us may read it: it belongs to the server only once it is whole. @returns Its inode. */
export async function createBytes({ root }: ServerFiles, uploadId: string): Promise<string> {
  return await withPlace(walkToParent(root, [nameOfUpload(uploadId)]), async ({ parent, name }) => {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(entryOf(parent, name), flags, 0o600);
    try {
      const { ino } = await file.stat({ bigint: true });
      return ino.toString();
    } finally {
      await file.close();
    }
  });
}

interface Known {
  uploadId: string;
  inode: string;
}

/** @returns What `use` does; null when the file that was made is not there any more. */
export async function withBytes<Result>(
  { root, owner }: ServerFiles,
  { uploadId, inode }: Known,
  use: (bytes: UploadBytes) => Promise<Result>,
): Promise<Result | null> {
  return await withPlace(walkToParent(root, [nameOfUpload(uploadId)]), async ({ parent, name }) => {
    const file = await openBytes(parent, name, { inode, owner });
    if (file === null) return null;
    try {
      return await use({ file, parent, name });
    } finally {
      await file.close();
    }
  });
}

async function openBytes(
  parent: PathHandle,
  name: string,
  { inode, owner }: { inode: string; owner: Owner | null },
): Promise<FileHandle | null> {
  const place = await openPlace(entryOf(parent, name)).catch(ignoreMissing);
  if (!place) return null;
  try {
    const status = await place.stat({ bigint: true });
    const { dev } = await parent.stat({ bigint: true });
    if (!isOurs(status, owner) || `${status.ino}` !== inode || status.dev !== dev) return null;
    // The very thing that was looked at, whatever has its name by now.
    return await open(pathOf(place), constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY);
  } finally {
    await place.close();
  }
}

/**
 * Its disk is the directory's own: the number of a disk, unlike that of a file on it, may be another one after a restart of
 * the machine, so it is not noted. A file with one name only, made by us or, since an installation gave everything to the
 * server or a `finish` was broken off, the server's own: none that is anybody else's.
 */
function isOurs(status: BigIntStats, owner: Owner | null): boolean {
  const uid = Number(status.uid);
  return status.isFile() && status.nlink === 1n && (uid === process.getuid?.() || uid === owner?.uid);
}

/** Removes whatever has the name, unless it is a directory: nothing of ours then. */
export async function removeBytes({ root, account }: ServerFiles, uploadId: string): Promise<void> {
  await withPlace(walkToParent(root, [nameOfUpload(uploadId)]), async ({ parent, name }) => {
    const at = entryOf(parent, name);
    const status = await lstat(at).catch(ignoreMissing);
    if (!status || status.isDirectory()) return;
    await unlink(at).catch(ignoreMissing);
    account.credit(heldBytes(status));
  });
}
