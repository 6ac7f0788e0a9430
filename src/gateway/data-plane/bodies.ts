import { finished, Readable } from 'node:stream';
import { AppError } from '../../lib/errors.js';
import type { Call } from './call.js';

/** So long a stream may do nothing before it is looked at. */
const IDLE_TIMEOUT_MS = 60_000;
/** So many of those whoever reads, or sends, or the node that finishes an upload may take. */
const IDLE_TIMES_MAX = 5;
const OK = 200;
/** Of what has come and is not taken. */
const BODY_BUFFER_BYTES = 256 * 1024;

/** What the agent sends, with an error in the end unless it is everything. Destroying it ends the call. */
export function bodyOf(call: Call, sizeBytes: number): Readable {
  const { stream } = call;
  let received = 0;
  const body = new Readable({
    highWaterMark: BODY_BUFFER_BYTES,
    read: () => void stream.resume(),
    destroy(error, done) {
      call.fail(new AppError('file.failed', 'Nobody reads it any more.'));
      done(error);
    },
  });
  // Whoever reads hears of it there; nobody may be reading any more.
  body.on('error', () => {});
  let isOver = false;
  const finish = () => {
    if (isOver) return;
    isOver = true;
    if (call.isWhole() && received === sizeBytes) body.push(null);
    else body.destroy(toError(call.failure()));
  };
  stream.on('data', (chunk: Buffer) => {
    received += chunk.length;
    call.tookIn(chunk.length);
    if (!body.push(chunk)) stream.pause();
  });
  stream.once('end', finish);
  stream.once('close', finish);
  // Nothing comes of an empty file.
  if (stream.destroyed) finish();
  let waitedBefore = 0;
  watchIdleness(call, () => {
    const waiting = stream.readableLength + body.readableLength;
    const hasMoved = waiting !== waitedBefore;
    waitedBefore = waiting;
    if (waiting === 0) return { problem: 'The node stopped sending. Try again.', timesMax: 1 };
    return hasMoved ? null : { problem: 'The rest was not fetched in time.', timesMax: IDLE_TIMES_MAX };
  });
  return body;
}

/**
 * Sends it all, and in the trailers how much that was: without, the agent takes nothing for whole. When `body` fails, so
 * does the call, with the same error; when the agent refuses it or the call ends first, `body` is destroyed.
 */
export function sendBody(call: Call, body: Readable): void {
  const { stream } = call;
  let sentBytes = 0;
  let isComplete = false;
  let isRefused = false;
  finished(body, { writable: false }, (error) => {
    if (!error) isComplete = true;
    else if (!isRefused) call.fail(error);
  });
  stream.once('wantTrailers', () => {
    if (isComplete) stream.sendTrailers({ 'x-size': `${sentBytes}` });
  });
  stream.once('response', (headers) => {
    if (headers[':status'] === OK) return;
    isRefused = true;
    body.unpipe(stream);
    body.destroy();
  });
  stream.once('close', () => body.destroy());
  body.pipe(stream);
  body.on('data', (chunk) => {
    sentBytes += chunk.length;
  });
  watchIdleness(call, () => {
    if (stream.writableEnded)
      return { problem: 'The node took too long to finish the file.', timesMax: IDLE_TIMES_MAX };
    if (stream.writableLength > 0) return { problem: 'The node stopped taking it. Try again.', timesMax: 1 };
    return { problem: 'The rest was not sent in time.', timesMax: IDLE_TIMES_MAX };
  });
}

/** @param look Answers what is wrong and how often in a row it may be, or null when nothing is. */
function watchIdleness(call: Call, look: () => { problem: string; timesMax: number } | null): void {
  const { stream } = call;
  let times = 0;
  stream.setTimeout(IDLE_TIMEOUT_MS);
  stream.on('timeout', () => {
    const found = look();
    times = found === null ? 0 : times + 1;
    if (found && times >= found.timesMax) call.fail(new AppError('file.failed', found.problem));
    else stream.setTimeout(IDLE_TIMEOUT_MS);
  });
}

function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('The transfer was called off.', { cause: reason });
}
