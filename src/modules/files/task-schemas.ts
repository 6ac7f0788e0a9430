import { z } from 'zod';
import { Success, success } from '../../lib/schemas.js';
import type { FileTask } from '../../protocol/client-messages.js';
import { ArchiveFormat, WORK_PATHS_MAX } from '../../protocol/file-works.js';
import { FoundFile, Path } from './schemas.js';

const ARCHIVE_NAME = /^[A-Za-z0-9._-]{1,100}$/;
const URL_MAX_LENGTH = 2048;
const FILE_NAME_MAX_LENGTH = 255;

export const WaitQuery = z.object({
  wait: z
    .enum(['true', 'false'])
    .default('true')
    .transform((text) => text === 'true')
    .meta({ description: '`false`: answer at once with the task, which goes on by itself.' }),
});

export const CompressBody = z.strictObject({
  paths: z.array(Path).min(1).max(WORK_PATHS_MAX),
  archiveName: z
    .string()
    .regex(ARCHIVE_NAME, 'must be letters, digits, ".", "_" and "-", 100 at most')
    .refine((name) => name !== '.' && name !== '..', 'is not the name of a file'),
  /** A directory, which is made when it is missing. */
  targetPath: Path.default('/backups'),
  /** Left out: what the name ends in. */
  format: ArchiveFormat.optional(),
  /** An archive of the same name goes. */
  replace: z.boolean().default(false),
});
export type CompressBody = z.output<typeof CompressBody>;

export const DecompressBody = z.strictObject({
  archivePath: Path,
  /** A directory, which is made when it is missing. Left out: the one that the archive is in. */
  targetPath: Path.optional(),
});
export type DecompressBody = z.output<typeof DecompressBody>;

export const PullBody = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).max(URL_MAX_LENGTH),
  /** The directory, which is made when it is missing. */
  path: Path.default('/'),
  /** Left out: what the other side calls it. */
  name: z.string().min(1).max(FILE_NAME_MAX_LENGTH).optional(),
  /** A file of the same name goes. */
  replace: z.boolean().default(false),
});
export type PullBody = z.output<typeof PullBody>;

const Outcome = z.object({ path: z.string(), bytes: z.number(), entries: z.number() });

export const FileTaskView: z.ZodType<FileTask> = z.object({
  taskId: z.string(),
  serverId: z.string(),
  kind: z.enum(['compress', 'decompress', 'pull']),
  state: z.enum(['running', 'done', 'failed', 'cancelled']),
  /** Bytes of the content of files; null: not known (yet). */
  progress: z.object({
    doneBytes: z.number(),
    totalBytes: z.number().nullable(),
    doneEntries: z.number(),
  }),
  /** Null: the panel itself. */
  startedBy: z.object({ userId: z.string(), username: z.string() }).nullable(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime().nullable(),
  /** The archive, the directory or the file, when it is done. */
  result: Outcome.nullable(),
  /** Why it failed or was cancelled. */
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});

export const TaskParams = z.object({
  serverId: z.string().min(1).max(64),
  taskId: z.string().min(1).max(64),
});

export const TaskResponse = success(FileTaskView);
export const TasksResponse = success(z.array(FileTaskView));
/** `path` of the archive, with its size and how many files and directories are in it. */
export const CompressResponse = Success.extend({
  archivePath: z.string(),
  size: z.number(),
  entries: z.number(),
});
export const DecompressResponse = Success.extend({
  message: z.string(),
  targetPath: z.string(),
  bytes: z.number(),
  entries: z.number(),
});
export const PullResponse = success(FoundFile);
