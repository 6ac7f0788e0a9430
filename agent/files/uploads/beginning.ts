import { randomUUID } from 'node:crypto';
import { type PartialUpload, UPLOADS_PER_SERVER_MAX } from '../../../src/protocol/data-plane.js';
import { FileError } from '../errors.js';
import { parseFilePath } from '../paths.js';
import { ENTRY_BYTES } from '../quota.js';
import type { FileCall, FileRequest } from '../service.js';
import { checkTarget } from '../target.js';
import { createBytes } from './bytes.js';
import { drop, nextExpiry, toPartial, type UploadStore } from './store.js';

export async function beginUpload(
  { filesOf, notes, turns }: UploadStore,
  serverUuid: string,
  { path, replace, sizeBytes }: FileRequest<'begin-upload'>,
  { signal }: FileCall,
): Promise<PartialUpload> {
  const files = filesOf(serverUuid);
  const names = parseFilePath(path);
  await checkTarget(files.root, names, { ...files, replace });
  const uploadId = randomUUID();
  return await turns.take({ serverUuid, uploadId }, signal, async () => {
    // All of it must fit now. Room is only taken part by part: it is not kept free for a day.
    const claim = await files.account.claim(sizeBytes + ENTRY_BYTES);
    let isKept = false;
    try {
      const inode = await createBytes(files, uploadId);
      claim.wrote(ENTRY_BYTES);
      const where = { uploadId, path: `/${names.join('/')}`, replace, inode };
      const note = { ...where, sizeBytes, receivedBytes: 0, expiresAtMs: nextExpiry() };
      await notes.write(serverUuid, note);
      // Counted with this one: of several that begin at once none is overlooked.
      if ((await notes.uploads(serverUuid)).length > UPLOADS_PER_SERVER_MAX) throw tooMany();
      isKept = true;
      return toPartial(note);
    } finally {
      if (!isKept) await drop(files, notes, { serverUuid, uploadId });
      claim.end(isKept);
    }
  });
}

function tooMany(): FileError {
  const sentence = `The server has ${UPLOADS_PER_SERVER_MAX} unfinished uploads: finish or cancel one first.`;
  return new FileError('file.busy', sentence);
}
