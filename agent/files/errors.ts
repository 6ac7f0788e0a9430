import type { FileErrorCode } from '../../src/protocol/data-plane.js';

/** What cannot be done with a file, and why; the message is for users. */
export class FileError extends Error {
  override name = 'FileError';
  readonly code: FileErrorCode;

  constructor(code: FileErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const KNOWN: Record<string, [FileErrorCode, string]> = {
  ENOENT: ['file.not_found', 'There is no such file or directory.'],
  EEXIST: ['file.exists', 'There is a file or directory of this name already.'],
  ENOTDIR: ['file.not_directory', 'A part of the path is not a directory.'],
  EISDIR: ['file.is_directory', 'This is a directory, not a file.'],
  ENOTEMPTY: ['file.not_empty', 'The directory is not empty.'],
  ELOOP: ['file.not_regular', 'This is a link.'],
  ENXIO: ['file.not_regular', 'This is not an ordinary file.'],
  ENAMETOOLONG: ['file.name_invalid', 'The name is too long.'],
  EINVAL: [
    'file.name_invalid',
    'The file system does not take this name, or the directory would be in itself.',
  ],
  EILSEQ: ['file.name_invalid', 'The file system does not take this name.'],
  ENOSPC: ['file.no_space', 'The disk of the node is full: make room on it or ask who runs it.'],
  EDQUOT: ['file.quota_exceeded', 'This is more than is left of the disk limit of the server: remove files.'],
  EFBIG: ['file.too_large', 'The file system of the node does not take files of this size.'],
  EACCES: ['file.denied', 'The node does not let its agent do this.'],
  EPERM: ['file.denied', 'The node does not let its agent do this.'],
  EROFS: ['file.denied', 'The disk of the node can only be read.'],
  EBUSY: ['file.busy', 'The file is in use: try again later.'],
  // The game has taken a lease on it.
  EAGAIN: ['file.busy', 'The file is in use: try again later.'],
  ETXTBSY: ['file.busy', 'The program in this file is running: stop the server first.'],
  EMFILE: ['file.busy', 'Too many files are open on the node: try again later.'],
  ENFILE: ['file.busy', 'Too many files are open on the node: try again later.'],
  EXDEV: ['file.failed', 'This is on another disk: copy it and remove it here.'],
};

/** What the system said, in our words. What is none of its errors comes back as it is. */
export function toFileError(error: unknown): unknown {
  if (error instanceof FileError || !(error instanceof Error) || !('code' in error)) return error;
  const known = typeof error.code === 'string' ? KNOWN[error.code] : undefined;
  return known === undefined ? error : new FileError(known[0], known[1], { cause: error });
}

/** What whoever stops the work says, if it is for users. */
export function stopped({ reason }: AbortSignal): FileError {
  return reason instanceof FileError ? reason : new FileError('file.failed', 'The transfer was stopped.');
}
