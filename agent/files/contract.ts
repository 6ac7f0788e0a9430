import type { Readable } from 'node:stream';
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

export interface FileServer {
  directory: string;
  /** Null: no limit. */
  limitBytes: number | null;
}
