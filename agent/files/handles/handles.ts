import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { HANDLES_PER_SERVER_MAX, type HandleOutput } from '../../../src/protocol/data-plane.js';
import type { HandleRequest } from '../contract.js';
import { FileError } from '../errors.js';
import type { Account } from '../quota/quota.js';
import type { Room } from '../quota/room.js';
import type { Coming } from './at-close.js';

/** Files that stay open between two calls. They are files, not names: one that is renamed goes on. */
export interface Handles {
  /** Rejects with `file.busy` when the server has as many as it may; the file is closed then. */
  add(file: OpenFile): Promise<string>;
  /**
   * Hold it open for one piece of work. Its number must not be another file's while somebody still reads by it.
   * @throws FileError, `file.handle_invalid`, for another connection's as for one that is not known.
   */
  use(handle: string, connection: object): UsedFile;
  /** Resolves when it is with the disk and closed; rejects when it could not be written. */
  close(handle: string, connection: object, closing: Closing): Promise<Closed>;
  /** What is coming under a name is discarded: nobody said that it is whole. Waits also for those that are being closed. */
  closeWhere(isMeant: (file: OpenFile) => boolean): Promise<void>;
  /** Close all, and take no more. */
  stop(): Promise<void>;
}

/** As the protocol has it. */
export type Closing = HandleRequest<'close'>;
export type Closed = HandleOutput<'close'>;

export interface OpenFile {
  serverUuid: string;
  connection: object;
  name: string;
  file: FileHandle;
  account: Account;
  room: Room;
  /** Null: the file has the name that it was opened by. */
  coming: Coming | null;
  canRead: boolean;
  canWrite: boolean;
  isAppending: boolean;
}

export interface UsedFile extends OpenFile {
  /** Its content is about to change: its close waits for the disk to have it. */
  markWritten(): void;
  release(): void;
}

interface Held extends OpenFile {
  uses: number;
  usedAtMs: number;
  isWritten: boolean;
  /** Set when it is to be closed; called when nobody uses it any more. */
  onIdle: (() => void) | null;
}

const IDLE_CHECKS = 4;
const DISCARD: Closing = { discard: true, isAbandoned: false };

export function createHandles(idleMs: number, onError: (error: unknown) => void): Handles {
  const held = new Map<string, Held>();
  const closing = new Map<Held, Promise<Closed>>();

  function find(handle: string, connection: object): Held {
    const found = held.get(handle);
    if (found?.connection === connection) return found;
    throw new FileError('file.handle_invalid', 'The file is no longer open: open it again.');
  }

  async function closeHeld(handle: string, found: Held, how: Closing): Promise<Closed> {
    held.delete(handle);
    const work = whenIdle(found).then(() => end(found, how));
    closing.set(found, work);
    try {
      return await work;
    } finally {
      closing.delete(found);
    }
  }

  async function closeWhere(isMeant: (file: Held) => boolean): Promise<void> {
    const begun = [...closing].flatMap(([file, work]) => (isMeant(file) ? [work.catch(() => {})] : []));
    const meant = [...held].filter(([, file]) => isMeant(file));
    const work = meant.map(([handle, file]) => closeHeld(handle, file, DISCARD).catch(onError));
    await Promise.all([...begun, ...work]);
  }

  const timer = setInterval(() => {
    const before = performance.now() - idleMs;
    void closeWhere(({ uses, usedAtMs }) => uses === 0 && usedAtMs < before);
  }, idleMs / IDLE_CHECKS);
  timer.unref();
  let isStopped = false;

  return {
    async add(file) {
      const ofServer = [...held.values()].filter(({ serverUuid }) => serverUuid === file.serverUuid).length;
      if (ofServer >= HANDLES_PER_SERVER_MAX || isStopped) {
        await end({ ...file, isWritten: false }, DISCARD);
        throw isStopped ? stopping() : tooMany();
      }
      const handle = randomUUID();
      held.set(handle, { ...file, uses: 0, usedAtMs: performance.now(), isWritten: false, onIdle: null });
      return handle;
    },
    use(handle, connection) {
      const found = find(handle, connection);
      found.uses += 1;
      let isReleased = false;
      return {
        ...found,
        markWritten() {
          found.isWritten = true;
        },
        release() {
          if (isReleased) return;
          isReleased = true;
          found.uses -= 1;
          found.usedAtMs = performance.now();
          if (found.uses === 0) found.onIdle?.();
        },
      };
    },
    close: async (handle, connection, how) => await closeHeld(handle, find(handle, connection), how),
    closeWhere,
    async stop() {
      isStopped = true;
      clearInterval(timer);
      await closeWhere(() => true);
    },
  };
}

async function whenIdle(file: Held): Promise<void> {
  if (file.uses === 0) return;
  await new Promise<void>((resolve) => {
    file.onIdle = resolve;
  });
}

async function end(
  { file, coming, room, isWritten }: OpenFile & Pick<Held, 'isWritten'>,
  { discard, isAbandoned }: Closing,
): Promise<Closed> {
  try {
    if (coming === null) {
      if (isWritten) await file.sync();
    } else if (discard) await coming.discard();
    else return await coming.finish({ isWritten, isAbandoned });
    return { isDropped: false };
  } finally {
    await file.close();
    await room.end();
  }
}

function tooMany(): FileError {
  return new FileError('file.busy', `A server has at most ${HANDLES_PER_SERVER_MAX} files open: close some.`);
}

function stopping(): FileError {
  return new FileError('file.busy', 'The agent of the node is stopping: try again when it is back.');
}
