import type { FastifyInstance } from 'fastify';
import { AppError } from '../lib/errors.js';
import { sendError } from './errors.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its handler reads a large body bit by bit: that may take as long as the server lets any request. */
    isStreamed?: boolean;
  }
}

/** For the body of a request, from when its headers are there. */
const BODY_TIMEOUT_MS = 50_000;

/**
 * Cuts off who sends a body in drips, whatever he says that it is and whether he has been answered already. Streaming
 * routes may take their time, but only once it is known that who sends may.
 */
export function limitBodyTime(app: FastifyInstance, timeoutMs = BODY_TIMEOUT_MS): void {
  const timers = new WeakMap<object, NodeJS.Timeout>();

  app.addHook('onRequest', (request, reply, done) => {
    const { raw } = request;
    const hasBody =
      raw.headers['transfer-encoding'] !== undefined || Number(raw.headers['content-length']) > 0;
    if (hasBody) {
      const timer = setTimeout(() => {
        if (raw.complete || raw.destroyed) return;
        // Closes the connection as soon as the answer is out.
        reply.raw.once('finish', () => raw.destroy());
        if (reply.raw.headersSent) raw.destroy();
        else {
          reply.header('connection', 'close');
          sendError(new AppError('request.timeout'), request, reply);
        }
      }, timeoutMs);
      timers.set(raw, timer);
      raw.once('close', () => clearTimeout(timer));
      raw.once('end', () => clearTimeout(timer));
    }
    done();
  });
  app.addHook('preHandler', (request, _reply, done) => {
    if (request.routeOptions.config.isStreamed) clearTimeout(timers.get(request.raw));
    done();
  });
}
