import type { FastifyInstance } from 'fastify';
import { AppError } from '../lib/errors.js';
import { sendError } from './errors.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Set by whoever is about to stop the panel: from then on new requests are refused. */
    stopping: boolean;
  }
}

const RETRY_SECONDS = 5;

export function refuseWhileStopping(app: FastifyInstance): void {
  app.decorate('stopping', false);
  app.addHook('preClose', async () => {
    app.stopping = true;
  });
  app.addHook('onRequest', (request, reply, done) => {
    if (!app.stopping) return done();
    reply.header('connection', 'close');
    const error = new AppError('panel.stopping', undefined, { retryAfterSeconds: RETRY_SECONDS });
    void sendError(error, request, reply);
  });
}
