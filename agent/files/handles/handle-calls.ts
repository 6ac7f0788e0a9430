import type { Readable } from 'node:stream';
import type { HandleOperation, HandleOutput } from '../../../src/protocol/data-plane.js';
import { chmodAndTouch, resize } from '../changing/attributes.js';
import { type Portion, portionsOf, writeFully } from '../changing/portions.js';
import type { Content, FileCall, FileService, HandleRequest } from '../contract.js';
import { FileError } from '../errors.js';
import { toEntry } from '../listing/entry.js';
import { statusOf } from '../paths/descriptors.js';
import { lengthWithin, stopWith, streamOf } from '../reading.js';
import type { Handles, OpenFile, UsedFile } from './handles.js';

type HandleOperationsTable = {
  [Name in HandleOperation]: (
    handle: string,
    request: HandleRequest<Name>,
    call: FileCall,
  ) => Promise<HandleOutput<Name>>;
};

export interface HandleCalls {
  operate: FileService['operateHandle'];
  read: FileService['readHandle'];
  write: FileService['writeHandle'];
}

export function createHandleCalls({ handles }: { handles: Handles }): HandleCalls {
  async function using<Result>(
    handle: string,
    { connection }: FileCall,
    use: (file: UsedFile) => Promise<Result>,
  ) {
    const held = handles.use(handle, connection);
    try {
      return await use(held);
    } finally {
      held.release();
    }
  }

  const operations: HandleOperationsTable = {
    stat: (handle, _request, call) =>
      using(handle, call, async ({ file, name }) => toEntry(name, statusOf(file))),
    'set-attributes': (handle, { mode, modifiedAtMs, sizeBytes }, call) =>
      using(handle, call, async ({ file, name, account, canWrite, markWritten }) => {
        if (sizeBytes !== undefined) {
          requireOpenFor(canWrite, 'writing');
          markWritten();
          await resize(file, sizeBytes, account);
        }
        await chmodAndTouch(file, { mode, modifiedAtMs });
        return toEntry(name, statusOf(file));
      }),
    async close(handle, request, { connection }) {
      return await handles.close(handle, connection, request);
    },
  };

  return {
    operate: async (handle, name, request, call) => await operations[name](handle, request, call),
    async read(handle, range, { connection, signal }): Promise<Content> {
      const held = handles.use(handle, connection);
      try {
        requireOpenFor(held.canRead, 'reading');
        const { size } = statusOf(held.file);
        const sizeBytes = lengthWithin(size, range);
        const release = async () => held.release();
        const stream = streamOf(held.file, { offset: range.offset, sizeBytes }, release);
        return { sizeBytes, stream: stopWith(stream, signal) };
      } catch (error) {
        held.release();
        throw error;
      }
    },
    write: (handle, { offset }, source, call) =>
      using(handle, call, async (open) => {
        requireOpenFor(open.canWrite, 'writing');
        open.markWritten();
        return { bytes: await writeAll(open, offset, source, call.signal) };
      }),
  };
}

async function writeAll(
  open: OpenFile,
  offset: number,
  source: Readable,
  signal: AbortSignal,
): Promise<number> {
  let written = 0;
  for await (const portion of portionsOf(source, signal)) {
    await write(open, offset + written, portion).catch((error: unknown) => {
      open.coming?.fail(error);
      throw error;
    });
    written += portion.bytes;
  }
  return written;
}

/** What it may newly take on the disk is promised before: the end of the file moves, or a hole is filled. */
async function write(
  { file, room, isAppending }: OpenFile,
  offset: number,
  { pieces, bytes }: Portion,
): Promise<void> {
  const end = offset + bytes;
  if (!Number.isSafeInteger(end)) throw new FileError('file.too_large', 'No file is so large.');
  const status = statusOf(file);
  const { size, blocks } = status;
  const growth = isAppending ? bytes : Math.max(0, end - size);
  const filled = blocks * 512 < size ? bytes : 0;
  await room.during(Math.max(growth, filled), status, () =>
    writeFully(file, pieces, isAppending ? null : offset),
  );
}

function requireOpenFor(isAllowed: boolean, what: string) {
  if (!isAllowed) throw new FileError('file.denied', `The file was not opened for ${what}.`);
}
