import multipart, { type Multipart } from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { AppError } from '../../lib/errors.js';
import { ServerParams } from '../../lib/schemas.js';
import { answerUnread } from './answer-unread.js';
import type { FormUpload } from './form-uploads.js';
import { MessageResponse, PATH_MAX_LENGTH, Path, UploadForm, UploadQuery } from './schemas.js';
import type { Files } from './service.js';

/** Of one form. */
const FILES_MAX = 100;
const FIELDS_MAX = 10;
/** Of any path that is let through: what is longer is cut off, and must not pass for another path. */
const FIELD_MAX_BYTES = 4 * PATH_MAX_LENGTH;
const HEADERS_MAX = 20;

/** What browsers write for the three characters that would end a name in a form. */
const ESCAPES: Readonly<Record<string, string>> = { '%22': '"', '%0D': '\r', '%0A': '\n' };

export const formUploadRoutes: FastifyPluginAsyncZod<{ files: Files }> = async (app, { files }) => {
  await app.register(multipart, {
    // The service counts: it knows the limit, and how to say so.
    throwFileSizeLimit: false,
    limits: {
      fileSize: Number.POSITIVE_INFINITY,
      files: FILES_MAX,
      fields: FIELDS_MAX,
      fieldSize: FIELD_MAX_BYTES,
      headerPairs: HEADERS_MAX,
    },
  });

  app.post(
    '/:serverId/files/upload',
    {
      config: { access: 'file.write', isStreamed: true },
      schema: {
        tags: ['Files'],
        summary: 'Upload files into a directory',
        description: 'A file of the same name is replaced. Each file is there as a whole or not at all.',
        consumes: ['multipart/form-data'],
        params: ServerParams,
        querystring: UploadQuery,
        body: UploadForm,
        response: { 200: MessageResponse },
      },
    },
    async (request, reply) => {
      const { actor, params, query } = request;
      let upload: FormUpload | undefined;
      try {
        upload = await files.beginFormUpload(actor, params.serverId, query.path ?? null);
        // Of a client that was gone before, the form is never heard of again.
        if (request.raw.destroyed) throw cutOff();
        const count = await unlessLost(upload.lost, readForm(request, upload));
        await upload.finish();
        const message = count === 1 ? 'File uploaded successfully' : `${count} files uploaded successfully`;
        return { success: true as const, message };
      } catch (error) {
        await upload?.abandon();
        throw await answerUnread(request, reply, error);
      }
    },
  );
};

/** Does not wait for a client that sends slowly, or nothing, when nothing may come of it. */
async function unlessLost<Value>(lost: AbortSignal, value: Promise<Value>): Promise<Value> {
  // It fails too, once the connection is closed.
  value.catch(() => {});
  let onAbort = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(lost.reason);
    lost.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([value, aborted]);
  } finally {
    lost.removeEventListener('abort', onAbort);
  }
}

/** Hands the files of the form on as they come, and answers how many there were. */
async function readForm(request: FastifyRequest, upload: FormUpload): Promise<number> {
  if (!request.isMultipart()) {
    throw new AppError('request.unsupported_media_type', 'Send the files as multipart/form-data.');
  }
  let count = 0;
  for await (const part of partsOf(request)) {
    if (part.fieldname === 'file' && part.type === 'file') {
      await addFile(part, upload);
      count += 1;
    } else if (part.fieldname === 'path' && part.type === 'field') {
      await upload.enter(parsePath(part.value));
    } else {
      throw new AppError('request.invalid', `${part.fieldname.slice(0, 100)}: is not a field of this form`);
    }
  }
  return count;
}

/** What is wrong with the form itself, said to its sender. */
async function* partsOf(request: FastifyRequest): AsyncGenerator<Multipart> {
  try {
    yield* request.parts();
  } catch (error) {
    const isTooMuch = (error as { statusCode?: unknown }).statusCode === 413;
    throw isTooMuch
      ? new AppError('request.too_large', `A form can have ${FILES_MAX} files at most.`, { cause: error })
      : cutOff(error);
  }
}

function cutOff(cause?: unknown): AppError {
  return new AppError('request.invalid', 'This is not a complete multipart/form-data form.', { cause });
}

async function addFile(part: Extract<Multipart, { type: 'file' }>, upload: FormUpload): Promise<void> {
  try {
    await upload.add(decodeName(part.filename), part.file);
  } catch (error) {
    const isCutOff = part.file.destroyed && !part.file.readableEnded;
    if (!isCutOff || error instanceof AppError) throw error;
    throw new AppError('request.invalid', 'The form ended in the middle of a file.', { cause: error });
  }
}

/** @param name Left out when it is empty, whatever the types of multipart say. */
function decodeName(name: string | undefined = ''): string {
  return name.replace(/%(?:22|0D|0A)/gi, (written) => ESCAPES[written.toUpperCase()] ?? written);
}

function parsePath(value: unknown): string {
  const path = Path.safeParse(value);
  if (!path.success || path.data.includes('\0')) {
    throw new AppError('request.invalid', 'path: is not the path of a directory');
  }
  return path.data;
}
