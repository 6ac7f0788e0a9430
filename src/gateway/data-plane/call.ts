import {
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2';
import { AppError } from '../../lib/errors.js';
import { FILE_JSON_MAX_BYTES, FileErrorBody } from '../../protocol/data-plane.js';
import type { DataLink } from './link.js';

const MESSAGE_MAX_LENGTH = 300;
const OK = 200;

type ResponseHeaders = IncomingHttpHeaders & IncomingHttpStatusHeader;

export interface CallRequest {
  method: 'GET' | 'POST' | 'PUT';
  path: string;
  headers?: Record<string, string>;
  /** The end of the body is said in trailers: see `sendBody`. */
  hasTrailers?: boolean;
  signal: AbortSignal | undefined;
}

/** One request to an agent. */
export interface Call {
  readonly stream: ClientHttp2Stream;
  /** The headers of the answer; rejects with what the call failed with. */
  readonly response: Promise<ResponseHeaders>;
  /** Ends it, on the node too. The first reason counts; none does after the answer has come to its end. */
  fail(reason: unknown): void;
  /** Why it ended, or would have if it had ended badly. */
  failure(): unknown;
  /** Whether the answer has come to its end: a stream that was reset looks the same to those who read it. */
  isWhole(): boolean;
  /** So many bytes of a file have come. */
  tookIn(bytes: number): void;
}

/** @throws node.offline */
export function startCall(link: DataLink, request: CallRequest): Call {
  const { signal } = request;
  signal?.throwIfAborted();
  link.ended.throwIfAborted();
  const stream = openStream(link, request);
  let reason: unknown;
  let isEnded = false;

  const isWhole = () => reason === undefined && stream.rstCode === constants.NGHTTP2_NO_ERROR;
  const fail = (why: unknown) => {
    if (isEnded || reason !== undefined) return;
    reason = why;
    // Not `close`, which in Node says that all was sent before it says that it was not.
    stream.destroy(new Error('The call was called off.'));
  };
  const failure = () => {
    if (reason !== undefined) return reason;
    if (link.ended.aborted || link.session.closed || link.session.destroyed) return link.lost;
    if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) return new AppError('file.busy');
    return new AppError('file.failed', 'The node broke off in the middle. Try again.');
  };
  const onAbort = () => fail(signal?.reason);
  const onLost = () => fail(link.ended.reason);
  signal?.addEventListener('abort', onAbort);
  link.ended.addEventListener('abort', onLost);
  stream.once('end', () => {
    isEnded = isWhole();
  });
  // What is wrong is asked for by `failure`.
  stream.on('error', () => {});
  stream.once('close', () => {
    signal?.removeEventListener('abort', onAbort);
    link.ended.removeEventListener('abort', onLost);
  });
  const response = new Promise<ResponseHeaders>((resolve, reject) => {
    let hasCome = false;
    stream.once('response', (headers) => {
      hasCome = true;
      resolve(headers);
    });
    // An error that nobody is told costs as much as all the rest of a call.
    stream.once('close', () => hasCome || reject(failure()));
  });
  response.catch(() => {});
  return { stream, response, fail, failure, isWhole, tookIn: link.tookIn };
}

function openStream(
  link: DataLink,
  { method, path, headers, hasTrailers = false }: CallRequest,
): ClientHttp2Stream {
  try {
    const options = { endStream: method === 'GET', waitForTrailers: hasTrailers };
    return link.session.request({ ':method': method, ':path': path, ...headers }, options);
  } catch (error) {
    // The session is on its way out.
    throw new AppError('node.offline', undefined, { cause: error });
  }
}

/** The answer to anything that is answered with JSON. Rejects with what the agent refused it for. */
export async function readAnswer(call: Call): Promise<unknown> {
  await requireOk(call);
  return parseJson(await readBytes(call, FILE_JSON_MAX_BYTES));
}

/** Rejects with an AppError for any answer but 200. */
export async function requireOk(call: Call): Promise<ResponseHeaders> {
  const headers = await call.response;
  if (headers[':status'] === OK) return headers;
  throw refusalOf(parseJson(await readBytes(call, FILE_JSON_MAX_BYTES)));
}

/** Rejects when there are more than so many. */
export function readBytes(call: Call, maxBytes: number): Promise<Buffer> {
  const { stream } = call;
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  return new Promise((resolve, reject) => {
    const finish = () => {
      if (call.isWhole() && stream.readableEnded) resolve(Buffer.concat(chunks));
      else reject(call.failure());
    };
    if (stream.destroyed) return finish();
    stream.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) call.fail(new AppError('file.failed', 'The node answered with too much.'));
      else chunks.push(chunk);
    });
    stream.once('end', finish);
    stream.once('close', () => stream.readableEnded || finish());
  });
}

/** What the agent says is wrong, as users are told. */
export function refusalOf(body: unknown): AppError {
  const parsed = FileErrorBody.safeParse(body);
  if (!parsed.success) return notUnderstood();
  const { code, message } = parsed.data;
  if (code === 'server.not_found') return new AppError('server.not_installed');
  return new AppError(code, message.replace(/\p{Cc}+/gu, ' ').slice(0, MESSAGE_MAX_LENGTH) || undefined);
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw notUnderstood();
  }
}

export function notUnderstood(): AppError {
  return new AppError(
    'file.failed',
    'The agent of the node gave an answer that is none; is its version the right one?',
  );
}
