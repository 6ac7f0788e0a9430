import type { FastifyInstance } from 'fastify';

/** One line for each answered request; reading is the bulk of them and only told at `debug`. */
export function logRequests(app: FastifyInstance): void {
  const isDebugging = app.log.level === 'debug' || app.log.level === 'trace';
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { method } = request;
    const level = method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'debug' : 'info';
    if (level === 'info' || isDebugging) {
      const { url, ip, actor } = request;
      const { statusCode } = reply;
      const durationMs = Math.round(reply.elapsedTime);
      request.log[level](
        { method, url, statusCode, durationMs, ip, ...(actor && { userId: actor.userId }) },
        'answered a request',
      );
    }
    done();
  });
}
