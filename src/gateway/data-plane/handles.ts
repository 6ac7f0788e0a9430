import type { z } from 'zod';
import { AppError } from '../../lib/errors.js';
import {
  HANDLE_CHUNK_MAX_BYTES,
  type HandleOperation,
  HandleOperations,
  type HandleOutput,
  HandleWritten,
  handleContentPath,
  handlePath,
} from '../../protocol/data-plane.js';
import type { FileHandleClient } from '../files.js';
import { bodyOf } from './bodies.js';
import { type Call, type CallRequest, readAnswer, readBytes, requireOk } from './call.js';
import type { DataLinks } from './links.js';
import { Count, check, enter, readLength, take, within } from './requests.js';
import type { SlotKind } from './slots.js';

const ANSWER_TIMEOUT_MS = 60_000;
/** All that was written is brought to the disk first. */
const CLOSE_TIMEOUT_MS = 10 * 60_000;

/** The same, so that each operation's name still says what its output is. */
const OPERATIONS: { [Name in HandleOperation]: { input: z.ZodType; output: z.ZodType<HandleOutput<Name>> } } =
  HandleOperations;
const ChunkLength = Count.max(HANDLE_CHUNK_MAX_BYTES);

/** A handle counts on the connection that it was opened on: after another has come it is `file.handle_invalid`. */
export function createHandleClient({
  links,
  nodeId,
  handle,
}: {
  links: DataLinks;
  nodeId: string;
  handle: string;
}): FileHandleClient {
  async function start(kind: SlotKind, request: CallRequest): Promise<Call> {
    const link = links.find(nodeId);
    if (!link) throw new AppError('node.offline');
    const serverUuid = link.handles.get(handle);
    if (serverUuid === undefined) throw new AppError('file.handle_invalid');
    return enter(link, { serverUuid, kind, request });
  }

  function get(kind: SlotKind, query: Record<string, string>, signal: AbortSignal | undefined) {
    const path = handleContentPath(handle, new URLSearchParams(query));
    return start(kind, { method: 'GET', path, signal });
  }

  return {
    isOpen: () => links.find(nodeId)?.handles.has(handle) ?? false,

    async operate(name, input, { signal } = {}) {
      const body = JSON.stringify(check(OPERATIONS[name].input, input));
      const timeoutMs = name === 'close' ? CLOSE_TIMEOUT_MS : ANSWER_TIMEOUT_MS;
      try {
        const call = await start('operation', { method: 'POST', path: handlePath(handle, name), signal });
        call.stream.end(body);
        return take(OPERATIONS[name].output, await within(call, timeoutMs, readAnswer(call)));
      } finally {
        // However it ended: nothing is asked of the handle after that.
        if (name === 'close') links.find(nodeId)?.handles.delete(handle);
      }
    },

    async read(offset, length, { signal } = {}) {
      const query = {
        offset: `${check(Count, offset, 'offset')}`,
        length: `${check(ChunkLength, length, 'length')}`,
      };
      const call = await get('operation', query, signal);
      const read = async () => {
        await requireOk(call);
        return readBytes(call, length);
      };
      return within(call, ANSWER_TIMEOUT_MS, read());
    },

    async readStream(offset, { length, signal } = {}) {
      const query = { offset: `${check(Count, offset, 'offset')}` };
      const call =
        length === undefined
          ? await get('transfer', query, signal)
          : await get('operation', { ...query, length: `${check(ChunkLength, length, 'length')}` }, signal);
      const headers = await within(call, ANSWER_TIMEOUT_MS, requireOk(call));
      return bodyOf(call, readLength(call, headers, length));
    },

    async write(offset, data, { signal } = {}) {
      const pieces = Array.isArray(data) ? data : [data];
      const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
      check(ChunkLength, length, 'length');
      const query = new URLSearchParams({ offset: `${check(Count, offset, 'offset')}` });
      const path = handleContentPath(handle, query);
      const headers = { 'x-size': `${length}` };
      const call = await start('operation', { method: 'PUT', path, headers, signal });
      call.stream.cork();
      for (const piece of pieces) call.stream.write(piece);
      call.stream.end();
      const { bytes } = take(HandleWritten, await within(call, ANSWER_TIMEOUT_MS, readAnswer(call)));
      if (bytes !== length) throw new AppError('file.failed', 'The node wrote only a part of it. Try again.');
      return bytes;
    },
  };
}
