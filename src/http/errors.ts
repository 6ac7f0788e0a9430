import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { asAppError } from '../lib/as-app-error.js';
import { AppError } from '../lib/errors.js';

/** What every error looks like. */
export const ErrorBody = z.object({
  statusCode: z.int(),
  /** The reason phrase of the status. */
  error: z.string(),
  message: z.string(),
  /** Stable, for programs: `node.offline`. */
  code: z.string(),
  /** Also in the log and in the `x-request-id` header. */
  requestId: z.string(),
  /** With `auth.two_factor_required`: for `POST /api/auth/two-factor`. */
  ticket: z.string().optional(),
  /** Seconds until the ticket expires. */
  expiresIn: z.int().optional(),
});
export type ErrorBody = z.infer<typeof ErrorBody>;

/** Validation stops being helpful after so many complaints. */
const ISSUES_MAX = 5;
const MESSAGE_MAX_LENGTH = 1000;

const PART_NAMES: Record<string, string> = { querystring: 'query' };

export function handleErrors(app: FastifyInstance): void {
  app.setErrorHandler<FastifyError>((error, request, reply) => sendError(error, request, reply));
  app.setNotFoundHandler((request, reply) => sendError(new AppError('request.not_found'), request, reply));
}

/** Answers with the error that the client may see, and logs the one that it may not. */
export function sendError(error: FastifyError | AppError, request: FastifyRequest, reply: FastifyReply) {
  const shown = toAppError(error, request);
  if (shown.statusCode === 500) request.log.error({ err: error }, 'a request failed');
  else if (shown.code === 'database.unavailable') request.log.warn({ err: error }, 'the database is away');
  reply.code(shown.statusCode);
  // A schema of the route's answers must not be asked about an error.
  reply.serializer(JSON.stringify);
  reply.type('application/json; charset=utf-8');
  // Hooks do not run for what is refused before it has a route.
  reply.header('x-request-id', request.id);
  if (shown.statusCode === 401) reply.header('www-authenticate', 'Bearer');
  if (shown.retryAfterSeconds !== undefined) reply.header('retry-after', shown.retryAfterSeconds);
  return reply.send(errorBody(shown, request.id));
}

function errorBody({ statusCode, message, code, details }: AppError, requestId: string): ErrorBody {
  return { ...details, statusCode, error: STATUS_CODES[statusCode] ?? 'Error', message, code, requestId };
}

/** What a client sees of anything that was thrown. */
function toAppError(error: FastifyError | AppError, { routeOptions }: FastifyRequest): AppError {
  if (error instanceof AppError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    return new AppError('request.invalid', validationMessage(error), { cause: error });
  }
  if (error.statusCode === 413) return new AppError('request.too_large', undefined, { cause: error });
  if (error.statusCode === 415) {
    const [taken] = routeOptions.schema?.consumes ?? [];
    const message = taken === undefined ? undefined : `Send the body as ${taken}.`;
    return new AppError('request.unsupported_media_type', message, { cause: error });
  }
  // A piece of the path that is longer than anything we ever named.
  if (error.statusCode === 414) return new AppError('request.not_found', undefined, { cause: error });
  // Fastify's own complaints about requests: broken JSON, a broken address, a wrong Content-Length.
  if (error.statusCode === 400) {
    return new AppError('request.invalid', shorten(error.message), { cause: error });
  }
  return asAppError(error);
}

/** `body.email: Invalid email address; body.password: Too small: …` */
function validationMessage(error: FastifyError): string {
  const part = PART_NAMES[error.validationContext ?? ''] ?? error.validationContext ?? 'request';
  const sentences = (error.validation ?? []).slice(0, ISSUES_MAX).map(({ instancePath, message }) => {
    const path = [part, ...instancePath.split('/').filter(Boolean)].join('.');
    return `${path}: ${message ?? 'Invalid input'}`;
  });
  return shorten(sentences.join('; '));
}

function shorten(message: string): string {
  return message.length <= MESSAGE_MAX_LENGTH ? message : `${message.slice(0, MESSAGE_MAX_LENGTH)}…`;
}

/** For bytes that never became a request: not HTTP, headers without end, a body that does not come. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const shown = brokenRequestError(error.code);
  const { statusCode } = shown;
  const body = JSON.stringify(errorBody(shown, ''));
  socket.end(
    `HTTP/1.1 ${statusCode} ${STATUS_CODES[statusCode]}\r\nConnection: close\r\n` +
      `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function brokenRequestError(code: string | undefined): AppError {
  if (code === 'HPE_HEADER_OVERFLOW') return new AppError('request.headers_too_large');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new AppError('request.timeout');
  return new AppError('request.invalid');
}
