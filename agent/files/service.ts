import type { Logger } from 'pino';
import { createLeftovers } from './changing/leftovers.js';
import type { Content, FileServer, FileService } from './contract.js';
import { toFileError } from './errors.js';
import { createHandleCalls } from './handles/handle-calls.js';
import { createHandles } from './handles/handles.js';
import type { PendingFiles } from './handles/pending.js';
import { createOperations } from './operations.js';
import type { Owner } from './owner.js';
import type { Beneath } from './paths/openat2.js';
import type { PullSettings } from './pulling/work.js';
import { createQuota, type Quota } from './quota/quota.js';
import { createServerFiles } from './server-files.js';
import { createUploads } from './uploads/uploads.js';
import { createWorks } from './works.js';

export interface FileServiceOptions {
  /** Null: there is no such server here. */
  find(serverUuid: string): FileServer | null;
  /** All that are here, to be looked through for what was forgotten; left out: those with uploads in parts. */
  serverUuids?: () => readonly string[];
  /** Who files belong to; null: whoever this process is. */
  owner: Owner | null;
  /** A directory of the agent's own, where it notes in which servers something is half written. */
  stateDirectory: string;
  /** A line of the system in the server's console. */
  announce(serverUuid: string, text: string): void;
  log: Logger;
  handleIdleMs?: number;
  /** The quick way to files; without it they are walked to. */
  beneath?: Beneath | null;
  /** Shared with whoever else wants to know what servers take; without it the service has its own. */
  quota?: Quota;
  pull?: PullSettings;
}

/**
 * For handles that a panel has forgotten; its clients end earlier. One who is there may keep a file open all day, mounted by
 * sshfs, and write to it now and then: that must not be lost.
 */
const HANDLE_IDLE_MS = 24 * 3600_000;

export function createFileService(options: FileServiceOptions): FileService {
  const { log, handleIdleMs = HANDLE_IDLE_MS, quota = createQuota(log) } = options;
  const leftovers = createLeftovers(options.stateDirectory, log);
  const handles = createHandles(handleIdleMs, (error) => log.warn({ error }, 'a file could not be closed'));
  const pending = new Map<string, PendingFiles>();
  const filesOf = createServerFiles({ ...options, quota, pending });
  const uploads = createUploads({ ...options, filesOf });
  const operations = createOperations({ ...options, filesOf, handles, leftovers, uploads });
  const works = createWorks({ ...options, filesOf, leftovers });
  const handleCalls = createHandleCalls({ ...options, handles });

  return {
    operate: (serverUuid, name, request, call) =>
      withFileErrors(async () => await operations.operate(serverUuid, name, request, call)),
    read: (serverUuid, request, call) =>
      withFileErrors(async () => ignoreStreamErrors(await operations.read(serverUuid, request, call))),
    write: (serverUuid, request, source, call) =>
      withFileErrors(async () => await operations.write(serverUuid, request, source, call)),
    work: (serverUuid, name, request, call) =>
      withFileErrors(async () => await works.run(serverUuid, name, request, call)),
    writeUpload: (serverUuid, request, source, call) =>
      withFileErrors(async () => await uploads.write(serverUuid, request, source, call)),
    operateHandle: (handle, name, request, call) =>
      withFileErrors(async () => await handleCalls.operate(handle, name, request, call)),
    readHandle: (handle, request, call) =>
      withFileErrors(async () => ignoreStreamErrors(await handleCalls.read(handle, request, call))),
    writeHandle: (handle, request, source, call) =>
      withFileErrors(async () => await handleCalls.write(handle, request, source, call)),
    closeConnection: (connection) => handles.closeWhere((file) => file.connection === connection),
    async closeServer(serverUuid) {
      await handles.closeWhere((file) => file.serverUuid === serverUuid);
      await uploads.closeServer(serverUuid);
      quota.forget(serverUuid);
      pending.delete(serverUuid);
    },
    async cleanUp() {
      await leftovers.cleanUp((serverUuid) => options.find(serverUuid)?.directory ?? null);
      await uploads.cleanUp();
    },
    async close() {
      await uploads.close();
      await handles.stop();
      leftovers.close();
    },
  };
}

async function withFileErrors<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw toFileError(error);
  }
}

/** Who asked may have gone by now, and then nobody hears that the stream was stopped: that must not end the agent. */
function ignoreStreamErrors<Opened extends Content>(content: Opened): Opened {
  content.stream.on('error', () => {});
  return content;
}
