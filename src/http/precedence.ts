import type { FastifyInstance } from 'fastify';
import type { Precedence } from '../lib/precedence.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its handler sends a file bit by bit. */
    isDownload?: boolean;
  }
}

/** What is asked goes before the files that are moved meanwhile; whoever asks for files waits like all of them. */
export function letRequestsGoFirst(app: FastifyInstance, precedence: Precedence): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { method, routeOptions } = request;
    const { isDownload, isStreamed } = routeOptions.config;
    const what = method === 'GET' || method === 'HEAD' ? 'question' : 'command';
    if (!isDownload && !isStreamed) reply.raw.once('close', precedence.goFirst(what));
    done();
  });
}
