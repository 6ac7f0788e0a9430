import type { Readable } from 'node:stream';
import type {
  FileEntry,
  FileInput,
  FileOperation,
  FileOutput,
  HandleInput,
  HandleOperation,
  HandleOutput,
  PartialUpload,
} from '../protocol/data-plane.js';
import type { FileWork, WorkInput, WorkOutput, WorkProgress } from '../protocol/file-works.js';

export interface FileCallOptions {
  /** Aborting it ends the work on the node too. */
  signal?: AbortSignal | undefined;
}

export interface DownloadRequest {
  path: string;
  /** Default: the beginning. */
  offset?: number | undefined;
  /** Default: to the end of the file. */
  length?: number | undefined;
}

export interface UploadRequest {
  path: string;
  /** A file in the way goes, in the same step. */
  replace: boolean;
  /** When it is known; an upload of another size is refused. */
  sizeBytes?: number | undefined;
}

/**
 * The panel's way to the files on its nodes. Whether the caller may is not its business. What the agent refuses is
 * an AppError with the agent's code (`file.not_found`, …); a node that is away, or goes away, is `node.offline`.
 */
export interface FilePlane {
  /** Whether the node's agent takes part in the data plane right now. */
  isReachable(nodeId: string): boolean;
  operate<Name extends FileOperation>(
    nodeId: string,
    serverUuid: string,
    name: Name,
    input: FileInput<Name>,
    options?: FileCallOptions,
  ): Promise<FileOutput<Name>>;
  /**
   * Answers once the first bytes can come. `entry` is the whole file's, whatever part is asked for. A node that is
   * lost in the middle destroys `body` with an error; destroying `body` stops the reading on the node.
   */
  download(
    nodeId: string,
    serverUuid: string,
    request: DownloadRequest,
    options?: FileCallOptions,
  ): Promise<{ entry: FileEntry; body: Readable }>;
  /**
   * Nothing is under the file's name before everything is with the disk. A `body` that fails ends the upload, and
   * the promise rejects with what it failed with; an upload that is refused destroys `body`.
   */
  upload(
    nodeId: string,
    serverUuid: string,
    request: UploadRequest,
    body: Readable,
    options?: FileCallOptions,
  ): Promise<FileEntry>;
  /** The next part of an upload that `begin-upload` began. What came before `body` failed stays. */
  uploadPart(
    nodeId: string,
    serverUuid: string,
    request: { uploadId: string; offset: number },
    body: Readable,
    options?: FileCallOptions,
  ): Promise<PartialUpload>;
  /** Until it is done. Aborting the signal takes back what is half done; so does the loss of the panel. */
  work<Name extends FileWork>(
    nodeId: string,
    serverUuid: string,
    name: Name,
    input: WorkInput<Name>,
    options?: FileCallOptions & { onProgress?: (progress: WorkProgress) => void },
  ): Promise<WorkOutput<Name>>;
  /** A file that `operate(…, 'open', …)` opened. */
  handle(nodeId: string, handle: string): FileHandleClient;
}

export interface FileHandleClient {
  /** Whether the connection that it was opened on is still there, and it has not been closed. */
  isOpen(): boolean;
  operate<Name extends HandleOperation>(
    name: Name,
    input: HandleInput<Name>,
    options?: FileCallOptions,
  ): Promise<HandleOutput<Name>>;
  /** Fewer bytes than asked for, or none, at the end of the file. At most `HANDLE_CHUNK_MAX_BYTES`. */
  read(offset: number, length: number, options?: FileCallOptions): Promise<Buffer>;
  /** From there so many bytes, at most `HANDLE_CHUNK_MAX_BYTES`, or to the end of the file as it is then. */
  readStream(offset: number, options?: FileCallOptions & { length?: number }): Promise<Readable>;
  /** Answers how many bytes were written: all of them, at most `HANDLE_CHUNK_MAX_BYTES`. Several pieces go one after the other. */
  write(offset: number, data: Buffer | Buffer[], options?: FileCallOptions): Promise<number>;
}
