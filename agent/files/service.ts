import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import type { z } from 'zod';
import type {
  FileEntry,
  FileOperation,
  FileOperations,
  FileOutput,
  HandleOperation,
  HandleOperations,
  HandleOutput,
  PartialUpload,
} from '../../src/protocol/data-plane.js';
import type { FileWork, FileWorks, WorkOutput, WorkProgress } from '../../src/protocol/file-works.js';
import type { Beneath } from './beneath.js';
import { toFileError } from './errors.js';
import { createHandleCalls } from './handle-calls.js';
import { createHandles } from './handles.js';
import { createLeftovers } from './leftovers.js';
import { createOperations } from './operations.js';
import type { PendingFiles } from './pending.js';
import type { PullSettings } from './pulling/work.js';
import { createQuota, type Quota } from './quota.js';
import type { Owner } from './sandbox.js';
import { createServerFiles } from './server-files.js';
import { createUploads } from './uploads/uploads.js';
import { createWorks } from './works.js';

/** Inputs as zod gives them: whoever calls has parsed them. */
export type FileRequest<Name extends FileOperation> = z.output<(typeof FileOperations)[Name]['input']>;
export type HandleRequest<Name extends HandleOperation> = z.output<(typeof HandleOperations)[Name]['input']>;

export type WorkRequest<Name extends FileWork> = z.output<(typeof FileWorks)[Name]['input']>;

export interface FileCall {
  /** Stops the work and takes back what is half done. */
  signal: AbortSignal;
  /** Whose handles they are: any object, the same for all calls of one connection. */
  connection: object;
}

export interface WorkCall extends FileCall {
  /** As often as one likes: who listens takes what he wants of it. */
  report(progress: WorkProgress): void;
}

/** So many bytes, no more and no fewer: what cannot be kept up to destroys the stream with an error. */
export interface Content {
  sizeBytes: number;
  /** To be read or destroyed by who gets it: it holds the file open. */
  stream: Readable;
}

/**
 * The files of the servers on this node. Every method rejects with a FileError for what is the user's to know; anything
 * else is a bug or a broken disk.
 */
export interface FileService {
  operate<Name extends FileOperation>(
    serverUuid: string,
    name: Name,
    request: FileRequest<Name>,
    call: FileCall,
  ): Promise<FileOutput<Name>>;
  /** `length` null: to the end. An offset beyond the end gives no bytes. */
  read(
    serverUuid: string,
    request: { path: string; offset: number; length: number | null },
    call: FileCall,
  ): Promise<Content & { entry: FileEntry }>;
  /**
   * The end of the source means that all of it came: abort the signal before a source that was cut off ends. The source is
   * destroyed when the signal is, otherwise left as it is, so that an HTTP/2 stream can still carry the error.
   * @param sizeBytes What the source must bring exactly; null: not known.
   */
  write(
    serverUuid: string,
    request: { path: string; replace: boolean; sizeBytes: number | null },
    source: Readable,
    call: FileCall,
  ): Promise<FileEntry>;
  /** The signal's abort ends it and takes back what is half done. */
  work<Name extends FileWork>(
    serverUuid: string,
    name: Name,
    request: WorkRequest<Name>,
    call: WorkCall,
  ): Promise<WorkOutput<Name>>;
  /** The next part of an upload. What came before the source failed stays; its end is no promise that all came. */
  writeUpload(
    serverUuid: string,
    request: { uploadId: string; offset: number },
    source: Readable,
    call: FileCall,
  ): Promise<PartialUpload>;
  operateHandle<Name extends HandleOperation>(
    handle: string,
    name: Name,
    request: HandleRequest<Name>,
    call: FileCall,
  ): Promise<HandleOutput<Name>>;
  readHandle(
    handle: string,
    request: { offset: number; length: number | null },
    call: FileCall,
  ): Promise<Content>;
  /** What came before an error stays written. */
  writeHandle(
    handle: string,
    request: { offset: number },
    source: Readable,
    call: FileCall,
  ): Promise<{ bytes: number }>;
  /** The connection has ended: close its handles. */
  closeConnection(connection: object): Promise<void>;
  /** The server is being removed: close the handles of its files and forget what they use. */
  closeServer(serverUuid: string): Promise<void>;
  /** Remove what uploads of an agent that was killed have left. To be called once, at the start. */
  cleanUp(): Promise<void>;
  close(): Promise<void>;
}

export interface FileServiceOptions {
  /** Null: there is no such server here. */
  find(serverUuid: string): FileServer | null;
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

export interface FileServer {
  directory: string;
  /** Null: no limit. */
  limitBytes: number | null;
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
      inOurWords(async () => await operations.operate(serverUuid, name, request, call)),
    read: (serverUuid, request, call) =>
      inOurWords(async () => harmless(await operations.read(serverUuid, request, call))),
    write: (serverUuid, request, source, call) =>
      inOurWords(async () => await operations.write(serverUuid, request, source, call)),
    work: (serverUuid, name, request, call) =>
      inOurWords(async () => await works.run(serverUuid, name, request, call)),
    writeUpload: (serverUuid, request, source, call) =>
      inOurWords(async () => await uploads.write(serverUuid, request, source, call)),
    operateHandle: (handle, name, request, call) =>
      inOurWords(async () => await handleCalls.operate(handle, name, request, call)),
    readHandle: (handle, request, call) =>
      inOurWords(async () => harmless(await handleCalls.read(handle, request, call))),
    writeHandle: (handle, request, source, call) =>
      inOurWords(async () => await handleCalls.write(handle, request, source, call)),
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

async function inOurWords<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw toFileError(error);
  }
}

/** Who asked may have gone by now, and then nobody hears that the stream was stopped: that must not end the agent. */
function harmless<Opened extends Content>(content: Opened): Opened {
  content.stream.on('error', () => {});
  return content;
}
