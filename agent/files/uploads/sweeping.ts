import type { Logger } from 'pino';
import { ignoreMissing } from '../changing/temporary.js';
import { FileError } from '../errors.js';
import { namesIn } from '../listing/listing.js';
import { openDirectory } from '../paths/descriptors.js';
import { uploadIdOf } from '../paths/own-names.js';
import type { ServerFiles } from '../server-files.js';
import { removeBytes } from './bytes.js';
import { drop, type UploadStore } from './store.js';
import { removeForgotten } from './waiting.js';

const INTERVAL_MS = 3600_000;

/** Removes what nobody will finish any more. */
export interface Sweeper {
  /** Now, and from now on once an hour. */
  start(): Promise<void>;
  stop(): void;
  /** All uploads of the server. Nothing may be under way with them. */
  forget(serverUuid: string): Promise<void>;
}

export interface SweeperOptions extends UploadStore {
  /** All that there are. */
  serverUuids: () => readonly string[];
  log: Logger;
}

export function createSweeper({ log, serverUuids, ...store }: SweeperOptions): Sweeper {
  const { filesOf, notes, locks } = store;
  let timer: NodeJS.Timeout | undefined;

  async function sweepAll(): Promise<void> {
    for (const serverUuid of new Set([...serverUuids(), ...(await notes.servers())])) {
      try {
        await sweep(serverUuid);
      } catch (error) {
        log.warn({ error, serverUuid }, 'unfinished uploads could not be looked through');
      }
    }
  }

  async function sweep(serverUuid: string): Promise<void> {
    const files = filesIfKnown(serverUuid);
    if (files === null) return await notes.forget(serverUuid);
    let removed = await dropExpired(store, serverUuid);
    removed += await removeOrphans(files, async (uploadId) => {
      const isWanted = locks.isTaken(uploadId) || (await notes.read(serverUuid, uploadId)) !== null;
      return !isWanted;
    });
    removed += await removeForgotten(files);
    if (removed > 0) log.info({ serverUuid, removed }, 'unfinished uploads have expired');
  }

  function filesIfKnown(serverUuid: string): ServerFiles | null {
    try {
      return filesOf(serverUuid);
    } catch (error) {
      if (error instanceof FileError) return null;
      throw error;
    }
  }

  return {
    async start() {
      timer ??= setInterval(() => {
        sweepAll().catch((error: unknown) => log.error({ error }, 'uploads could not be swept'));
      }, INTERVAL_MS).unref();
      await sweepAll();
    },
    stop: () => clearInterval(timer),
    async forget(serverUuid) {
      if (!(await notes.servers()).includes(serverUuid)) return;
      const files = filesIfKnown(serverUuid);
      try {
        if (files !== null) await removeOrphans(files, async () => true);
      } catch (error) {
        log.warn({ error, serverUuid }, 'what came of unfinished uploads could not be removed');
      }
      await notes.forget(serverUuid);
    },
  };
}

/** Whatever is not under way. @returns How many there were. */
export async function dropExpired(store: UploadStore, serverUuid: string): Promise<number> {
  const { filesOf, notes, locks } = store;
  const files = filesOf(serverUuid);
  let dropped = 0;
  for (const uploadId of await notes.uploads(serverUuid)) {
    const note = await notes.read(serverUuid, uploadId);
    const isDue = note === null || note.expiresAtMs <= Date.now();
    if (!isDue || locks.isTaken(uploadId)) continue;
    await drop(store, files, { serverUuid, uploadId });
    dropped += 1;
  }
  return dropped;
}

/** Bytes whose note was never written or is lost: an agent was killed just then. @returns How many there were. */
async function removeOrphans(
  files: ServerFiles,
  isOrphan: (uploadId: string) => Promise<boolean>,
): Promise<number> {
  const root = await openDirectory(files.root.path).catch(ignoreMissing);
  if (!root) return 0;
  let removed = 0;
  try {
    for await (const name of namesIn(root)) {
      const uploadId = uploadIdOf(name.toString());
      if (uploadId === null || !(await isOrphan(uploadId))) continue;
      await removeBytes(files, uploadId);
      removed += 1;
    }
  } finally {
    await root.close();
  }
  return removed;
}
