import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { PartialUpload } from '../../src/protocol/data-plane.js';
import { type FilesOptions, openFiles, UUID } from './files-harness.js';

export const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex');

/** Uploads in parts of one server. */
export function openUploads(options: FilesOptions = {}) {
  const files = openFiles(options);
  const { operate, service, call, places } = files;
  const notes = join(places.root, 'state', 'uploads', UUID);
  return {
    ...files,
    begin: (path: string, sizeBytes: number, { replace = true } = {}) =>
      operate('begin-upload', { path, sizeBytes, replace }),
    find: (uploadId: string) => operate('find-upload', { uploadId }),
    put(uploadId: string, offset: number, content: Buffer | Readable, signal = call.signal) {
      const source = content instanceof Readable ? content : Readable.from([content]);
      return service.writeUpload(UUID, { uploadId, offset }, source, { ...call, signal });
    },
    finish: (uploadId: string, checksum?: string) => operate('finish-upload', { uploadId, sha256: checksum }),
    cancel: (uploadId: string) => operate('cancel-upload', { uploadId }),
    hiddenOf: ({ uploadId }: PartialUpload) => join(places.server, `.catalyst-upload-${uploadId}`),
    noteOf: ({ uploadId }: PartialUpload) => join(notes, `${uploadId}.json`),
    notes: () => readdirSync(notes),
    hidden: () => readdirSync(places.server).filter((name) => name.startsWith('.catalyst')),
    usedBytes: async () => (await operate('usage', {})).usedBytes,
  };
}
