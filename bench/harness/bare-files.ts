import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import Fastify from 'fastify';

export type BareFilesRole = ReturnType<typeof createBareFilesRole>;

/** The baseline: Fastify that streams a file from the disk, and a body to the disk, which it then waits for. */
export function createBareFilesRole() {
  return {
    async listen({ directory }: { directory: string }): Promise<string> {
      const app = Fastify({ bodyLimit: Number.MAX_SAFE_INTEGER });
      app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
      app.get<{ Params: { name: string } }>('/files/:name', async ({ params }, reply) => {
        const file = path.join(directory, params.name);
        reply.header('content-length', (await stat(file)).size);
        reply.type('application/octet-stream');
        return createReadStream(file);
      });
      app.put<{ Params: { name: string } }>('/files/:name', async ({ params, raw }) => {
        await pipeline(raw, createWriteStream(path.join(directory, params.name), { flush: true }));
        return { success: true };
      });
      await app.listen({ host: '127.0.0.1', port: 0 });
      return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
    },
  };
}
