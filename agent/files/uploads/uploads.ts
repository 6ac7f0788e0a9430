import { join } from 'node:path';
import type { Logger } from 'pino';
import type { FileOperation, FileOutput, PartialUpload } from '../../../src/protocol/data-plane.js';
import type { FileCall, FileService } from '../contract.js';
import { FileError } from '../errors.js';
import type { Operations } from '../operations.js';
import type { ServerFiles } from '../server-files.js';
import { beginUpload } from './beginning.js';
import { createChecksums } from './checksums.js';
import { finishUpload } from './finishing.js';
import { createNotes } from './notes.js';
import { writePart } from './part.js';
import { drop, look, notFound, toPartial, type UploadStore } from './store.js';
import { createSweeper } from './sweeping.js';
import { createUploadLocks, type UploadName } from './upload-locks.js';

export interface UploadsOptions {
  filesOf(serverUuid: string): ServerFiles;
  serverUuids?: (() => readonly string[]) | undefined;
  stateDirectory: string;
  log: Logger;
}

type UploadOperation = Extract<FileOperation, `${string}-upload` | 'list-uploads'>;

/** Uploads that come in parts. Nothing of them is kept in memory but what is under way, and checksums. */
export interface Uploads {
  operations: Pick<Operations, UploadOperation>;
  write: FileService['writeUpload'];
  /** Removes what has expired, now and from then on. */
  cleanUp(): Promise<void>;
  /** The server is being removed: ends what is under way and forgets it all. */
  closeServer(serverUuid: string): Promise<void>;
  close(): Promise<void>;
}

export function createUploads(options: UploadsOptions): Uploads {
  const { filesOf, serverUuids = () => [], stateDirectory, log } = options;
  const notes = createNotes(join(stateDirectory, 'uploads'));
  const locks = createUploadLocks();
  const checksums = createChecksums();
  const store: UploadStore = { filesOf, notes, locks, checksums };
  const sweeper = createSweeper({ ...store, serverUuids, log });
  return {
    operations: {
      'begin-upload': (serverUuid, request, call) => beginUpload(store, serverUuid, request, call),
      'find-upload': async (serverUuid, { uploadId }) =>
        toPartial(await look(store, { serverUuid, uploadId })),
      'list-uploads': (serverUuid) => listUploads(store, serverUuid),
      'finish-upload': (serverUuid, request, call) => finishUpload(store, { serverUuid, ...request }, call),
      'cancel-upload': (serverUuid, { uploadId }, call) =>
        cancelUpload(store, { serverUuid, uploadId }, call),
    },
    write: (serverUuid, request, source, call) => writePart(store, { serverUuid, ...request }, source, call),
    cleanUp: sweeper.start,
    async closeServer(serverUuid) {
      const isOfServer = (upload: UploadName) => upload.serverUuid === serverUuid;
      await locks.endWhere(isOfServer);
      await checksums.endWhere(isOfServer);
      await sweeper.forget(serverUuid);
    },
    async close() {
      sweeper.stop();
      await locks.endWhere(() => true);
      await checksums.endWhere(() => true);
    },
  };
}

async function listUploads(store: UploadStore, serverUuid: string): Promise<FileOutput<'list-uploads'>> {
  store.filesOf(serverUuid);
  const uploads: PartialUpload[] = [];
  for (const uploadId of await store.notes.uploads(serverUuid)) {
    const found = await look(store, { serverUuid, uploadId }).catch((error: unknown) => {
      if (error instanceof FileError && error.code === 'upload.not_found') return null;
      throw error;
    });
    if (found !== null) uploads.push(toPartial(found));
  }
  return { uploads: uploads.sort((one, other) => one.path.localeCompare(other.path)) };
}

/** Also in the middle of a part, which ends. */
async function cancelUpload(
  store: UploadStore,
  name: UploadName,
  { signal }: FileCall,
): Promise<Record<string, never>> {
  const { filesOf, notes, locks } = store;
  const files = filesOf(name.serverUuid);
  await locks.endWhere(
    (upload) => upload.serverUuid === name.serverUuid && upload.uploadId === name.uploadId,
  );
  return await locks.take(name, signal, async () => {
    if ((await notes.read(name.serverUuid, name.uploadId)) === null) throw notFound();
    await drop(store, files, name);
    return {};
  });
}
