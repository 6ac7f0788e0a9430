import { Readable } from 'node:stream';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { AppError } from '../../lib/errors.js';
import { ServerParams } from '../../lib/schemas.js';
import { attachment } from './content-disposition.js';
import { type Representation, represent } from './representation.js';
import { Bytes, PathQuery } from './schemas.js';
import type { Files } from './service.js';

const OCTETS = 'application/octet-stream';
const octets = { [OCTETS]: { schema: Bytes } };

export const downloadRoutes: FastifyPluginAsyncZod<{ files: Files }> = async (app, { files }) => {
  app.get(
    '/:serverId/files/download',
    {
      config: { access: 'file.read', isDownload: true },
      schema: {
        tags: ['Files'],
        summary: 'Download a file',
        description: 'With one `Range`, `If-Range`, `If-None-Match` and `If-Modified-Since` as in RFC 9110.',
        params: ServerParams,
        querystring: PathQuery,
        response: {
          200: { description: 'The file', content: octets },
          206: { description: 'The range of the file', content: octets },
          304: z.undefined().describe('It is still the one with this ETag'),
        },
      },
    },
    async ({ actor, params, query, headers, method }, reply) => {
      const isHead = method === 'HEAD';
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      let answer: Representation | undefined;
      const body = await files.download(actor, params.serverId, {
        path: query.path,
        signal: gone.signal,
        choose(entry) {
          answer = represent(entry, headers, { isWhole: isHead });
          return isHead || answer.status === 304 || answer.status === 416 ? null : answer.part;
        },
      });
      if (!answer) throw new Error('a file was not looked at');
      reply.headers({ ...answer.headers, 'accept-ranges': 'bytes', 'cache-control': 'private, no-cache' });
      if (answer.status === 416) throw new AppError('file.range_invalid');
      reply.code(answer.status);
      if (answer.status === 304) return reply.send();
      reply.type(OCTETS).header('content-disposition', attachment(lastName(query.path)));
      // A stream without bytes leaves the announced length alone, which is what HEAD is for.
      return reply.send(body ?? Readable.from([]));
    },
  );
};

function lastName(path: string): string {
  return path.split('/').findLast((name) => name !== '' && name !== '.') ?? 'file';
}
