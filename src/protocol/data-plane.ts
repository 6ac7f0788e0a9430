import { z } from 'zod';

/**
 * Bytes travel beside the messages: a second WebSocket that the agent dials (`DATA_PLANE_PATH`, with the same node and
 * secret as its control connection) carries HTTP/2, the panel being its client. Multiplexing, flow control and
 * cancellation are HTTP/2's: a stream that is reset stops the work behind it on either side.
 *
 * Paths of files are relative to the server's directory, `/` is the directory itself. Whatever they say, the agent
 * opens nothing outside it.
 */
export const DATA_PLANE_PATH = '/ws/data';

const Uuid = z.uuid();
const Handle = z.string().min(1).max(64);
const Count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const Time = z.number().int().min(-8_640_000_000_000).max(8_640_000_000_000);
/** Permission bits; set-user-id and the like are never kept. */
const Mode = z.number().int().min(0).max(0o777);

/** As users write it: `/plugins/config.yml`. */
export const FilePath = z
  .string()
  .max(4096)
  .regex(/^[^\0]*$/, 'must not have a NUL character in it');
export const FileEntry = z.object({
  name: z.string(),
  kind: z.enum(['file', 'directory', 'link', 'other']),
  sizeBytes: Count,
  mode: z.number().int().nonnegative(),
  modifiedAtMs: z.number(),
});
export type FileEntry = z.infer<typeof FileEntry>;

export const LIST_MAX = 10_000;

/** `POST /servers/{uuid}/{operation}` with JSON in and out. */
export const FileOperations = {
  /** Sorted by name; `next` is what to give as `after` for the rest, null at the end. */
  list: {
    input: z.object({
      path: FilePath,
      after: z.string().max(255).optional(),
      limit: z.number().int().min(1).max(LIST_MAX),
    }),
    output: z.object({ entries: z.array(FileEntry), next: z.string().nullable() }),
  },
  /** Of the file itself, or with `followLinks` of what it leads to inside the directory. */
  stat: {
    input: z.object({ path: FilePath, followLinks: z.boolean() }),
    output: FileEntry,
  },
  'make-directory': {
    input: z.object({ path: FilePath, parents: z.boolean() }),
    output: FileEntry,
  },
  /** `replace`: a file in the way goes, in the same step. */
  rename: {
    input: z.object({ from: FilePath, to: FilePath, replace: z.boolean() }),
    output: z.object({}),
  },
  /** Files, and directories with everything in them. */
  copy: {
    input: z.object({ from: FilePath, to: FilePath }),
    output: z.object({ bytes: Count }),
  },
  /** A directory that is not empty only with `recursive`. */
  remove: {
    input: z.object({ path: FilePath, recursive: z.boolean() }),
    output: z.object({ removed: Count }),
  },
  'set-attributes': {
    input: z.object({
      path: FilePath,
      mode: Mode.optional(),
      modifiedAtMs: Time.optional(),
      sizeBytes: Count.optional(),
    }),
    output: FileEntry,
  },
  /** Opens a file for SFTP. The handle is the connection's, and closed with it. */
  open: {
    input: z.object({
      path: FilePath,
      read: z.boolean(),
      write: z.boolean(),
      append: z.boolean(),
      create: z.boolean(),
      exclusive: z.boolean(),
      truncate: z.boolean(),
    }),
    output: z.object({ handle: Handle, entry: FileEntry }),
  },
  usage: {
    input: z.object({}),
    output: z.object({ usedBytes: Count, limitBytes: Count.nullable() }),
  },
} as const;
export type FileOperation = keyof typeof FileOperations;
export type FileInput<Name extends FileOperation> = z.input<(typeof FileOperations)[Name]['input']>;
export type FileOutput<Name extends FileOperation> = z.output<(typeof FileOperations)[Name]['output']>;

/** `POST /handles/{handle}/{operation}` with JSON in and out. */
export const HandleOperations = {
  stat: { input: z.object({}), output: FileEntry },
  'set-attributes': {
    input: z.object({ mode: Mode.optional(), modifiedAtMs: Time.optional(), sizeBytes: Count.optional() }),
    output: FileEntry,
  },
  /** Written bytes are with the disk when it answers. */
  close: { input: z.object({}), output: z.object({}) },
} as const;
export type HandleOperation = keyof typeof HandleOperations;
export type HandleInput<Name extends HandleOperation> = z.input<(typeof HandleOperations)[Name]['input']>;
export type HandleOutput<Name extends HandleOperation> = z.output<(typeof HandleOperations)[Name]['output']>;

/**
 * Bytes:
 * - `GET  /servers/{uuid}/content?path=…&offset=…&length=…` → the bytes; headers `x-entry` (a FileEntry as JSON)
 * - `PUT  /servers/{uuid}/content?path=…&replace=true` with `x-size` when it is known → FileEntry; nothing is under the
 *   file's name before everything is with the disk
 * - `GET  /handles/{handle}/content?offset=…&length=…` → the bytes, fewer at the end of the file
 * - `PUT  /handles/{handle}/content?offset=…` → `{ bytes }`
 * An answer that ends early is reset, never cut short.
 */
export const contentPath = (serverUuid: string, query: URLSearchParams) =>
  `/servers/${Uuid.parse(serverUuid)}/content?${query}`;
export const operationPath = (serverUuid: string, operation: FileOperation) =>
  `/servers/${Uuid.parse(serverUuid)}/${operation}`;
export const handleContentPath = (handle: string, query: URLSearchParams) =>
  `/handles/${encodeURIComponent(handle)}/content?${query}`;
export const handlePath = (handle: string, operation: HandleOperation) =>
  `/handles/${encodeURIComponent(handle)}/${operation}`;

/** The answer to bytes for a handle. */
export const HandleWritten = z.object({ bytes: Count });

/** What can be wrong with a request: the body of any answer but 200, as `{ code, message }`. */
export const FileErrorCode = z.enum([
  'file.not_found',
  'file.exists',
  'file.not_directory',
  'file.is_directory',
  'file.not_empty',
  'file.outside',
  'file.not_regular',
  'file.too_large',
  'file.name_invalid',
  'file.quota_exceeded',
  'file.no_space',
  'file.busy',
  'file.denied',
  'file.handle_invalid',
  'file.failed',
  'server.not_found',
]);
export type FileErrorCode = z.infer<typeof FileErrorCode>;
export const FileErrorBody = z.object({ code: FileErrorCode, message: z.string() });

/** Of one server at once; more wait their turn. */
export const STREAMS_PER_SERVER_MAX = 16;
export const HANDLES_PER_SERVER_MAX = 64;
/** The most that one read or write of a handle may carry; a reading to the end of the file may be longer. */
export const HANDLE_CHUNK_MAX_BYTES = 4 * 1024 * 1024;

/** JSON of either side. */
export const FILE_JSON_MAX_BYTES = 4 * 1024 * 1024;
/** What may be on its way on one stream, and on all of a connection, before the receiver has made room again. */
export const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
export const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** The largest HTTP/2 frame, and the largest WebSocket message that carries such frames. */
export const DATA_FRAME_MAX_BYTES = 1024 * 1024;
export const DATA_MESSAGE_MAX_BYTES = 4 * 1024 * 1024;
/** What waits in the WebSocket of a data connection before its writers do. */
export const DATA_BUFFER_BYTES = 1024 * 1024;
