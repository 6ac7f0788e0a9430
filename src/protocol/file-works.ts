import { z } from 'zod';
import { Count, FileEntry, FileErrorBody, FilePath, Uuid } from './data-plane.js';

export const WORK_PATHS_MAX = 1000;
/** Of one node at once; more wait their turn. */
export const WORKS_PER_NODE_MAX = 2;
export const WORKS_WAITING_PER_NODE_MAX = 64;

/** The kinds of archives that are made. Which one is read is told by its content. */
export const ArchiveFormat = z.enum(['tar', 'tar.gz', 'tar.zst', 'zip']);
export type ArchiveFormat = z.infer<typeof ArchiveFormat>;

/**
 * What takes long: `POST /servers/{uuid}/work/{name}` with JSON in, and lines of JSON out (`WorkLine`), the last of which
 * is the outcome. Whoever resets the stream cancels the work, and what was half done is taken back. Nothing is under the
 * name of a file or directory before it is whole.
 */
export const FileWorks = {
  /** Names in the archive are relative to the server's directory. */
  compress: {
    input: z.object({
      paths: z.array(FilePath).min(1).max(WORK_PATHS_MAX),
      to: FilePath,
      format: ArchiveFormat,
      /** Else an archive, or anything else, of that name is `file.exists`. */
      replace: z.boolean().default(false),
    }),
    output: z.object({ entry: FileEntry, entries: Count }),
  },
  /** Into a directory, which is made; files of the same names are replaced once everything has been unpacked. */
  extract: {
    input: z.object({ path: FilePath, to: FilePath }),
    output: z.object({ entries: Count, bytes: Count }),
  },
  /** From a public address, http or https. `path` is the file's; with a slash at its end the directory to put it into. */
  pull: {
    input: z.object({ url: z.string().max(2048), path: FilePath, replace: z.boolean(), sizeBytesMax: Count }),
    output: z.object({ path: FilePath, entry: FileEntry }),
  },
} as const;
export type FileWork = keyof typeof FileWorks;
export type WorkInput<Name extends FileWork> = z.input<(typeof FileWorks)[Name]['input']>;
export type WorkOutput<Name extends FileWork> = z.output<(typeof FileWorks)[Name]['output']>;

export const WorkProgress = z.object({
  /** Of the content of files. */
  doneBytes: Count,
  /** Null: not known (yet). */
  totalBytes: Count.nullable(),
  doneEntries: Count,
});
export type WorkProgress = z.infer<typeof WorkProgress>;

/** As often as that something is said, also when nothing has changed: whoever waits sees that the work goes on. */
export const WORK_PROGRESS_INTERVAL_MS = 500;
export const WORK_LINE_MAX_BYTES = 64 * 1024;

/** One line of the answer to work; after `done` or `failed` comes nothing. */
export const WorkLine = z.discriminatedUnion('kind', [
  WorkProgress.extend({ kind: z.literal('progress') }),
  z.object({ kind: z.literal('done'), output: z.unknown() }),
  FileErrorBody.extend({ kind: z.literal('failed') }),
]);
export type WorkLine = z.infer<typeof WorkLine>;

export const workPath = (serverUuid: string, work: FileWork) =>
  `/servers/${Uuid.parse(serverUuid)}/work/${work}`;
