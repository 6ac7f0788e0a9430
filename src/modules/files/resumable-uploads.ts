import type { Readable, Transform } from 'node:stream';
import { z } from 'zod';
import type { FilePlane } from '../../gateway/files.js';
import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { PartialUpload } from '../../protocol/data-plane.js';
import type { RecordFileChange } from './audit.js';
import { limitBody, tooLarge } from './limited-body.js';
import { normaliseChangedPath } from './paths.js';
import type { BeginUploadBody, FinishUploadBody, ResumableUploadView } from './resumable-upload-schemas.js';
import type { FileView } from './schemas.js';
import type { FileTargets } from './targets.js';
import { fileView } from './views.js';
import { type Watch, whileHeld } from './watch.js';

/**
 * Files that come in parts, over as many connections as it takes. The node keeps what has come, so panels may come and
 * go; who may write the files of a server may go on with any upload there.
 */
export interface ResumableUploads {
  beginResumableUpload(actor: Actor, serverId: string, body: BeginUploadBody): Promise<ResumableUploadView>;
  listResumableUploads(actor: Actor, serverId: string): Promise<ResumableUploadView[]>;
  findResumableUpload(actor: Actor, serverId: string, uploadId: string): Promise<ResumableUploadView>;
  /**
   * What came before `body` failed stays.
   * @param part `sizeBytes` is what the client says that it sends, if it does.
   */
  addPart(
    actor: Actor,
    serverId: string,
    part: { uploadId: string; offset: number; sizeBytes: number | undefined; body: Readable },
  ): Promise<ResumableUploadView>;
  /** Once everything has come: the file is in its place then. */
  finishResumableUpload(
    actor: Actor,
    serverId: string,
    uploadId: string,
    body: FinishUploadBody,
  ): Promise<FileView>;
  cancelResumableUpload(actor: Actor, serverId: string, uploadId: string): Promise<void>;
}

export interface ResumableUploadsOptions {
  targets: FileTargets;
  plane: FilePlane;
  watch: Watch;
  record: RecordFileChange;
  /** Of one part. */
  partMaxBytes: number;
}

export function createResumableUploads(options: ResumableUploadsOptions): ResumableUploads {
  const { targets, plane, watch, record, partMaxBytes } = options;
  const toWrite = (actor: Actor, serverId: string) => targets.toChange(actor, serverId, 'file.write');

  return {
    async beginResumableUpload(actor, serverId, { path: given, sizeBytes, replace }) {
      const { server, operate } = await toWrite(actor, serverId);
      const path = normaliseChangedPath(given);
      const upload = await operate('begin-upload', { path, sizeBytes, replace });
      await record(actor, server, 'file.upload_begin', { path, sizeBytes });
      return uploadView(upload);
    },

    async listResumableUploads(actor, serverId) {
      const { operate } = await toWrite(actor, serverId);
      const { uploads } = await operate('list-uploads', {});
      return uploads.map(uploadView);
    },

    async findResumableUpload(actor, serverId, id) {
      const { operate } = await toWrite(actor, serverId);
      return uploadView(await operate('find-upload', { uploadId: requireId(id) }));
    },

    async addPart(actor, serverId, { uploadId: id, offset, sizeBytes = 0, body }) {
      const { server } = await toWrite(actor, serverId);
      const uploadId = requireId(id);
      const limit = { what: 'part', maxBytes: partMaxBytes } as const;
      if (sizeBytes > limit.maxBytes) throw tooLarge(limit);
      const hold = watch.hold({ actor, server, rights: ['file.write'] });
      const limited = limitBody(limit);
      const signal = AbortSignal.any([hold.signal, pourInto(limited, body)]);
      try {
        const part = { uploadId, offset };
        return uploadView(await plane.uploadPart(server.nodeId, server.uuid, part, limited, { signal }));
      } finally {
        hold.release();
      }
    },

    async finishResumableUpload(actor, serverId, id, body) {
      const { server, operate } = await toWrite(actor, serverId);
      const uploadId = requireId(id);
      const { path } = await operate('find-upload', { uploadId });
      const sha256 = body?.sha256;
      const input = { uploadId, ...(sha256 !== undefined && { sha256 }) };
      const hold = watch.hold({ actor, server, rights: ['file.write'] });
      const entry = await whileHeld(hold, (options) => operate('finish-upload', input, options));
      await record(actor, server, 'file.upload', { path, sizeBytes: entry.sizeBytes });
      return fileView(entry);
    },

    async cancelResumableUpload(actor, serverId, id) {
      const { server, operate } = await toWrite(actor, serverId);
      const uploadId = requireId(id);
      const { path } = await operate('find-upload', { uploadId });
      await operate('cancel-upload', { uploadId });
      await record(actor, server, 'file.upload_cancel', { path });
    },
  };
}

/**
 * What happens to the body happens to what it is poured into, but not the other way round: there is an answer to be sent on
 * its connection. The signal is for a part that still waits for its turn.
 */
function pourInto(limited: Transform, body: Readable): AbortSignal {
  const broken = new AbortController();
  limited.once('error', (error) => broken.abort(error));
  body.once('error', (error) => limited.destroy(error));
  const cutOff = () => {
    if (!body.readableEnded) limited.destroy(new Error('The part was cut off.'));
  };
  body.once('close', cutOff);
  // A client that was gone before is not heard of again.
  if (body.destroyed) cutOff();
  else body.pipe(limited);
  return broken.signal;
}

/** What is no id is no upload's. */
function requireId(id: string): string {
  if (z.uuid().safeParse(id).success) return id;
  throw new AppError('upload.not_found');
}

function uploadView({ expiresAtMs, path, ...upload }: PartialUpload): ResumableUploadView {
  return { ...upload, path, expiresAt: new Date(Math.trunc(expiresAtMs)).toISOString() };
}
