import type { IncomingHttpHeaders } from 'node:http2';
import { z } from 'zod';
import { AppError } from '../../lib/errors.js';
import { FileEntry } from '../../protocol/data-plane.js';
import { type Call, type CallRequest, notUnderstood, startCall } from './call.js';
import type { DataLink } from './link.js';
import type { SlotKind } from './slots.js';

export const Count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);

/** Starts a call as soon as its server has a place for it, which is given back with the end of the call. */
export async function enter(
  link: DataLink,
  { serverUuid, kind, request }: { serverUuid: string; kind: SlotKind; request: CallRequest },
): Promise<Call> {
  const signals = request.signal ? [link.ended, request.signal] : [link.ended];
  const leave = await link.slotsOf(serverUuid).take(kind, signals);
  try {
    const call = startCall(link, request);
    call.stream.once('close', leave);
    return call;
  } catch (error) {
    leave();
    throw error;
  }
}

/** Ends the call when the answer takes longer. */
export async function within<Value>(call: Call, timeoutMs: number, answer: Promise<Value>): Promise<Value> {
  const timer = setTimeout(() => {
    call.fail(
      new AppError('file.failed', 'The node took too long to answer. What it was asked may be half done.'),
    );
  }, timeoutMs);
  try {
    return await answer;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param name Of a value that is not an object with names of its own.
 * @throws request.invalid, before the node is asked.
 */
export function check<Value>(schema: z.ZodType<Value>, value: unknown, name = 'input'): Value {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new AppError('request.invalid', `${issue?.path.join('.') || name}: ${issue?.message}`);
}

/** @throws file.failed when the agent's answer is not what the schema describes. */
export function take<Value>(schema: z.ZodType<Value>, value: unknown): Value {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw notUnderstood();
}

export function readEntry(call: Call, headers: IncomingHttpHeaders): FileEntry {
  try {
    return FileEntry.parse(JSON.parse(String(headers['x-entry'])));
  } catch {
    const error = notUnderstood();
    call.fail(error);
    throw error;
  }
}

/**
 * How long the content is. An answer that does not say so cannot be told from a part of one, and nobody has room for more
 * than he has asked for.
 */
export function readLength(
  call: Call,
  headers: IncomingHttpHeaders,
  wanted = Number.MAX_SAFE_INTEGER,
): number {
  const length = headers['content-length'];
  if (length !== undefined && /^\d{1,16}$/.test(length) && Number(length) <= wanted) return Number(length);
  const error = notUnderstood();
  call.fail(error);
  throw error;
}
