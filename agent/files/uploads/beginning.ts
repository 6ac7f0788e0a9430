import { randomUUID } from 'node:crypto';
import { type PartialUpload, UPLOADS_PER_SERVER_MAX } from '../../../src/protocol/data-plane.js';
import { checkTarget } from '../changing/target.js';
import type { FileCall, FileRequest } from '../contract.js';
import { FileError } from '../errors.js';
import { parseFilePath } from '../paths/paths.js';
import { ENTRY_BYTES } from '../quota/quota.js';
import { createBytes } from './bytes.js';
import { drop, nextExpiry, toPartial, type UploadStore } from './store.js';
import { dropExpired } from './sweeping.js';

export async function beginUpload(
  store: UploadStore,
  serverUuid: string,
  { path, replace, sizeBytes }: FileRequest<'begin-upload'>,
  { signal }: FileCall,
): Promise<PartialUpload> {
  const { filesOf, notes, locks } = store;
  const files = filesOf(serverUuid);
  const names = parseFilePath(path);
  await checkTarget(files.root, names, { ...files, replace });
  const uploadId = randomUUID();
  return await locks.take({ serverUuid, uploadId }, signal, async () => {
    // All of it must fit now. Room is only taken part by part: it is not kept free for a day.
    const claim = await files.account.claim(sizeBytes + ENTRY_BYTES);
    let isKept = false;
    try {
      const note = await locks.whileBeginning(serverUuid, async () => {
        await requireRoom(store, serverUuid);
        const inode = await createBytes(files, uploadId);
        claim.wrote(ENTRY_BYTES);
        const where = { uploadId, path: `/${names.join('/')}`, replace, inode };
        const begun = { ...where, sizeBytes, receivedBytes: 0, expiresAtMs: nextExpiry() };
        await notes.write(serverUuid, begun);
        return begun;
      });
      isKept = true;
      return toPartial(note);
    } finally {
      if (!isKept) await drop(store, files, { serverUuid, uploadId });
      claim.end(isKept);
    }
  });
}

/** What has expired takes no room, though it is swept only once an hour. */
async function requireRoom(store: UploadStore, serverUuid: string): Promise<void> {
  const isFull = async () => (await store.notes.uploads(serverUuid)).length >= UPLOADS_PER_SERVER_MAX;
  if (!(await isFull())) return;
  await dropExpired(store, serverUuid);
  if (!(await isFull())) return;
  const sentence = `The server has ${UPLOADS_PER_SERVER_MAX} unfinished uploads: finish or cancel one first.`;
  throw new FileError('file.busy', sentence);
}
