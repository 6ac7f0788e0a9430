import { lstat, rename } from 'node:fs/promises';
import type { FileEntry } from '../../../src/protocol/data-plane.js';
import { isErrorCode } from '../../atomic-file.js';
import { makeIfMissing } from '../changing/making.js';
import { lookAtTarget } from '../changing/target.js';
import { moveWithoutReplacing } from '../changing/temporary.js';
import type { FileCall } from '../contract.js';
import { FileError } from '../errors.js';
import { toEntry } from '../listing/entry.js';
import { entryOf } from '../paths/descriptors.js';
import { parseFilePath } from '../paths/paths.js';
import { heldBytes } from '../paths/regular.js';
import { type Place, walkToParent, withPlace } from '../paths/walk.js';
import type { UploadBytes } from './bytes.js';
import { drop, forget, type HeldUpload, holding, receivedIn, type UploadStore } from './store.js';
import type { UploadName } from './upload-locks.js';

const FILE_MODE = 0o644;

export async function finishUpload(
  store: UploadStore,
  { sha256, ...name }: UploadName & { sha256?: string | undefined },
  call: FileCall,
): Promise<FileEntry> {
  return await holding(store, name, call, async (held) => {
    const { files, note, bytes, signal } = held;
    const missingBytes = note.sizeBytes - (await receivedIn(bytes.file, note));
    if (missingBytes > 0) {
      throw new FileError('upload.incomplete', `${missingBytes} bytes have not been sent yet.`);
    }
    if (sha256 !== undefined && (await store.checksums.of(name, bytes.file, signal)) !== sha256) {
      // Nobody can tell which of its bytes are wrong, and none can be sent again: it would only take up room.
      await drop(store, files, name);
      throw new FileError('upload.checksum_mismatch', 'What has arrived is not what was sent: begin anew.');
    }
    const entry = await putInPlace(held);
    await forget(store, name);
    return entry;
  });
}

/**
 * In one step, with the directories on the way: under its name there is what was there before, or all of the upload. After
 * an error the upload is still there, and can be finished once what is in the way is gone.
 */
async function putInPlace({ files, note, bytes, signal }: HeldUpload): Promise<FileEntry> {
  const target = walkToParent(files.root, parseFilePath(note.path), (parent, name) =>
    makeIfMissing(parent, name, files),
  );
  return await withPlace(target, async (place) => {
    const before = await lookAtTarget(place, { ...files, ...note });
    const { file } = bytes;
    if (files.owner !== null) await file.chown(files.owner.uid, files.owner.gid);
    await file.chmod((before?.isFile() ? before.mode : FILE_MODE) & 0o777);
    await file.sync();
    signal.throwIfAborted();
    await move(bytes, place, note.replace);
    await files.pending.hide(place);
    const { ino } = await lstat(entryOf(place.parent, place.name), { bigint: true });
    if (`${ino}` !== note.inode) {
      throw new FileError('file.busy', 'Something else has been put there meanwhile: upload the file again.');
    }
    if (before !== null) files.account.credit(heldBytes(before));
    return toEntry(place.name, await file.stat());
  });
}

async function move(from: UploadBytes, to: Place, replace: boolean): Promise<void> {
  try {
    if (!replace) return await moveWithoutReplacing(from, to);
    await rename(entryOf(from.parent, from.name), entryOf(to.parent, to.name));
  } catch (error) {
    if (!isErrorCode(error, 'EXDEV')) throw error;
    const sentence = 'This directory is on another disk of the node: upload the file in one piece.';
    throw new FileError('file.failed', sentence, { cause: error });
  }
}
