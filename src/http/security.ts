import cors from '@fastify/cors';
import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';
import { AppError } from '../lib/errors.js';

/** Nothing that is sent to us is nested deeper; recursive code behind us can rely on it. */
const NESTING_MAX = 32;

/** Headers for browsers, other origins only as configured, and bodies that are what they say. */
export async function secureRequests(
  app: FastifyInstance,
  options: { corsOrigins: string[] },
): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: { directives: { 'upgrade-insecure-requests': null } },
    // Whether a host is https for good is for whoever terminates TLS to say.
    strictTransportSecurity: false,
  });
  if (options.corsOrigins.length > 0) {
    await app.register(cors, {
      origin: options.corsOrigins,
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      allowedHeaders: [
        'authorization',
        'content-type',
        'range',
        'if-range',
        'if-none-match',
        'if-modified-since',
      ],
      exposedHeaders: [
        'x-request-id',
        'retry-after',
        'content-disposition',
        'content-length',
        'content-range',
        'accept-ranges',
        'etag',
        'last-modified',
        'upload-offset',
        'x-ratelimit-limit',
        'x-ratelimit-remaining',
        'x-ratelimit-reset',
      ],
      maxAge: 600,
    });
  }
  acceptJsonOnly(app);
  app.addHook('preValidation', async ({ body, query, params }) => {
    requireCleanText('body', body);
    requireCleanText('query', query);
    requireCleanText('params', params);
  });
}

function acceptJsonOnly(app: FastifyInstance): void {
  // What is refused for its name is refused further down, where the field can be told.
  const parse = app.getDefaultJsonParser('ignore', 'ignore');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    // Many clients name the type even when they send nothing.
    if (body.length === 0) done(null, undefined);
    else void parse(request, body, done);
  });
}

/** PostgreSQL stores neither NUL nor half a surrogate pair, and no honest client sends them. */
function requireCleanText(part: string, root: unknown): void {
  if (root === undefined || root === null) return;
  const waiting: { value: unknown; path: string; depth: number }[] = [{ value: root, path: part, depth: 0 }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { value, path, depth } = next;
    if (typeof value === 'string') requireCleanString(value, path);
    if (typeof value !== 'object' || value === null) continue;
    if (depth >= NESTING_MAX) throw new AppError('request.invalid', `${part}: nested too deeply`);
    for (const [key, child] of Object.entries(value)) {
      requireCleanString(key, path);
      if (key === '__proto__')
        throw new AppError('request.invalid', `${path.slice(0, 200)}.${key}: is not allowed`);
      if (typeof child === 'string') requireCleanString(child, `${path}.${key}`);
      // JSON.parse makes Infinity of 1e999, which nobody can store or send back.
      else if (typeof child === 'number' && !Number.isFinite(child)) {
        throw new AppError('request.invalid', `${path.slice(0, 200)}.${key}: is too large`);
      } else if (typeof child === 'object') {
        waiting.push({ value: child, path: `${path}.${key}`, depth: depth + 1 });
      }
    }
  }
}

function requireCleanString(text: string, path: string): void {
  if (!text.includes('\0') && !/\p{Surrogate}/u.test(text)) return;
  throw new AppError('request.invalid', `${path.slice(0, 200)}: contains a character that is not allowed`);
}
