import type { FileHandleClient } from '../gateway/files.js';
import { AppError } from '../lib/errors.js';
import type { FileEntry } from '../protocol/data-plane.js';
import type { FileQueue } from './file-queue.js';
import { failure } from './status.js';

/** Of one channel: files and directories. */
const HANDLES_MAX = 64;
const HANDLE_BYTES = 4;

export interface OpenFile {
  kind: 'file';
  /** As it was opened; the file may be called otherwise by now. */
  path: string;
  nodeId: string;
  canRead: boolean;
  canWrite: boolean;
  /** Nothing of what is written is under the file's name before the handle is closed. */
  comesAtClose: boolean;
  /** Its content is not what it was before. */
  isChanged: boolean;
  writtenBytes: number;
  /** To be called when something may have come to its name. */
  onChange(): void;
  client: FileHandleClient;
  queue: FileQueue;
}

export interface OpenDirectory {
  kind: 'directory';
  path: string;
  /** Fetched and not shown yet. */
  entries: FileEntry[];
  /** Where the rest begins; null when nothing is left. */
  next: string | null;
  /** The last READDIR: the next one begins where it ended. */
  turn: Promise<unknown>;
}

export type Handles = ReturnType<typeof createHandles>;

export function createHandles() {
  const open = new Map<number, OpenFile | OpenDirectory>();
  /** Taken, and not closed yet: something that was asked of them before may still wait. */
  const leaving = new Set<OpenFile>();
  /** Places that are being opened. */
  let reserved = 0;
  let last = 0;

  function find(handle: Buffer): OpenFile | OpenDirectory {
    const found = handle.length === HANDLE_BYTES ? open.get(handle.readUInt32BE(0)) : undefined;
    if (!found) throw new AppError('file.handle_invalid');
    return found;
  }

  return {
    /** Opens something when there is place for it, and answers its handle. */
    async add(opening: () => Promise<OpenFile | OpenDirectory>): Promise<Buffer> {
      if (open.size + reserved >= HANDLES_MAX) {
        throw failure(`No more than ${HANDLES_MAX} files can be open at once: close one first.`);
      }
      reserved += 1;
      try {
        const opened = await opening();
        last = (last + 1) >>> 0;
        open.set(last, opened);
        const handle = Buffer.alloc(HANDLE_BYTES);
        handle.writeUInt32BE(last, 0);
        return handle;
      } finally {
        reserved -= 1;
      }
    },
    file(handle: Buffer): OpenFile {
      const found = find(handle);
      if (found.kind !== 'file') throw failure('The handle is of a directory.');
      return found;
    },
    directory(handle: Buffer): OpenDirectory {
      const found = find(handle);
      if (found.kind !== 'directory') throw failure('The handle is of a file.');
      return found;
    },
    /** It counts no more from now on; what it stood for is the caller's to close. */
    take(handle: Buffer): OpenFile | OpenDirectory {
      const found = find(handle);
      open.delete(handle.readUInt32BE(0));
      return found;
    },
    /** Until it is done, the file is among those that are `inUse`. */
    async leave(file: OpenFile, closing: Promise<void>): Promise<void> {
      leaving.add(file);
      try {
        await closing;
      } finally {
        leaving.delete(file);
      }
    },
    inUse: (): OpenFile[] => [...[...open.values()].filter((one) => one.kind === 'file'), ...leaving],
    files: (): OpenFile[] => [...open.values()].filter((one) => one.kind === 'file'),
    clear: () => open.clear(),
  };
}
