import type { FastifyReply } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { AppError } from '../../lib/errors.js';
import { ServerParams, Success } from '../../lib/schemas.js';
import { answerUnread } from './answer-unread.js';
import { allowSilence } from './hang-up.js';
import {
  BeginUploadBody,
  FinishUploadBody,
  PartQuery,
  ResumableUploadResponse,
  ResumableUploadsResponse,
  type ResumableUploadView,
  UploadParams,
} from './resumable-upload-schemas.js';
import { Bytes, FileResponse } from './schemas.js';
import type { Files } from './service.js';

const tags = ['Files'];
const OCTETS = 'application/octet-stream';

export const resumableUploadRoutes: FastifyPluginAsyncZod<{ files: Files }> = async (app, { files }) => {
  // The bytes are read where they are needed.
  app.addContentTypeParser(OCTETS, (_request, _payload, done) => done(null, undefined));

  app.post(
    '/:serverId/files/uploads',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Begin an upload that comes in parts',
        description:
          'Then send the parts, each at the `receivedBytes` of the answer before, and finish. The node keeps what has come: after a break, also of the panel, ask where the upload is and go on from there.',
        params: ServerParams,
        body: BeginUploadBody,
        response: { 201: ResumableUploadResponse },
      },
    },
    async ({ actor, params, body }, reply) => {
      const upload = await files.beginResumableUpload(actor, params.serverId, body);
      reply.code(201);
      return answer(reply, upload);
    },
  );

  app.get(
    '/:serverId/files/uploads',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'List the uploads that have not been finished',
        params: ServerParams,
        response: { 200: ResumableUploadsResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await files.listResumableUploads(actor, params.serverId),
    }),
  );

  app.get(
    '/:serverId/files/uploads/:uploadId',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Ask how much of an upload has come',
        description: 'Also with HEAD: the header `upload-offset` says it.',
        params: UploadParams,
        response: { 200: ResumableUploadResponse },
      },
    },
    async ({ actor, params }, reply) =>
      answer(reply, await files.findResumableUpload(actor, params.serverId, params.uploadId)),
  );

  app.patch(
    '/:serverId/files/uploads/:uploadId',
    {
      config: { access: 'file.write', isStreamed: true },
      schema: {
        tags,
        summary: 'Send the next part of an upload',
        description: 'What came before a part was cut off stays.',
        consumes: [OCTETS],
        params: UploadParams,
        querystring: PartQuery,
        body: Bytes,
        response: { 200: ResumableUploadResponse },
      },
    },
    async (request, reply) => {
      const { actor, params, query, headers, raw } = request;
      try {
        if (headers['content-type']?.split(';')[0]?.trim().toLowerCase() !== OCTETS) {
          throw new AppError('request.unsupported_media_type', `Send the part as ${OCTETS}.`);
        }
        const length = headers['content-length'];
        const sizeBytes = length === undefined ? undefined : Number(length);
        const part = { uploadId: params.uploadId, offset: query.offset, sizeBytes, body: raw };
        const upload = await files.addPart(actor, params.serverId, part);
        return answer(reply, upload);
      } catch (error) {
        const isCutOff = raw.destroyed && !raw.complete && !(error instanceof AppError);
        throw await answerUnread(request, reply, isCutOff ? cutOff(error) : error);
      }
    },
  );

  app.post(
    '/:serverId/files/uploads/:uploadId/finish',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Put an upload, once all of it has come, in its place',
        description: 'Given its SHA-256, what has come is compared with that first.',
        params: UploadParams,
        body: FinishUploadBody,
        response: { 200: FileResponse },
      },
    },
    async ({ actor, params, body }, reply) => {
      allowSilence(reply);
      const data = await files.finishResumableUpload(actor, params.serverId, params.uploadId, body);
      return { success: true as const, data };
    },
  );

  app.delete(
    '/:serverId/files/uploads/:uploadId',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Give an upload up',
        description: 'What has come of it is removed.',
        params: UploadParams,
        response: { 200: Success },
      },
    },
    async ({ actor, params }) => {
      await files.cancelResumableUpload(actor, params.serverId, params.uploadId);
      return { success: true as const };
    },
  );
};

function answer(reply: FastifyReply, upload: ResumableUploadView) {
  reply.header('upload-offset', upload.receivedBytes);
  return { success: true as const, data: upload };
}

function cutOff(cause: unknown): AppError {
  return new AppError('request.invalid', 'The part was cut off. What came of it is kept.', { cause });
}
