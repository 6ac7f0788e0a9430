import { z } from 'zod';

/**
 * Bytes travel beside the messages: a second WebSocket that the agent dials (`DATA_PLANE_PATH`, with the same node and
 * secret as its control connection) carries HTTP/2 (`endless-message.ts` says how), the panel being its client. Multiplexing, flow control and
 * cancellation are HTTP/2's: a stream that is reset stops the work behind it on either side.
 *
 * Paths of files are relative to the server's directory, `/` is the directory itself. Whatever they say, the agent
 * opens nothing outside it.
 */
export const DATA_PLANE_PATH = '/ws/data';

export const Uuid = z.uuid();
const Handle = z.string().min(1).max(64);
export const Count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
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
/**
 * In a server's directory, with a UUID: what the panel uploads before it knows where it belongs. It is shown to nobody, and
 * removed when the panel has not come back for it.
 */
export const WAITING_PREFIX = '.catalyst-waiting-';
export const SEARCH_MAX = 1000;
export const NOTE_MAX_LENGTH = 1000;

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);

export const PartialUpload = z.object({
  uploadId: Uuid,
  path: FilePath,
  sizeBytes: Count,
  /** What came so far: where the next part begins. */
  receivedBytes: Count,
  /** It is forgotten then unless something comes. */
  expiresAtMs: z.number(),
});
export type PartialUpload = z.infer<typeof PartialUpload>;

/** `POST /servers/{uuid}/{operation}` with JSON in and out. */
export const FileOperations = {
  /**
   * Sorted by name; `next` is what to give as `after` for the rest, null at the end. Names of the node's own for what is
   * not finished are left out.
   */
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
  /** Files and directories below, whose names have the text in them or, with `*` and `?`, are of that pattern. */
  search: {
    input: z.object({
      path: FilePath,
      text: z.string().min(1).max(255),
      limit: z.number().int().min(1).max(SEARCH_MAX),
    }),
    output: z.object({
      matches: z.array(FileEntry.extend({ path: FilePath })),
      /** False: there may be more, the search was given up at its limit of matches or time. */
      isComplete: z.boolean(),
    }),
  },
  /** What a link says, whether it leads anywhere or not. */
  'read-link': { input: z.object({ path: FilePath }), output: z.object({ target: z.string() }) },
  /** Only to places inside, named relative to the link. */
  'make-link': { input: z.object({ path: FilePath, target: FilePath }), output: FileEntry },
  'make-directory': {
    input: z.object({ path: FilePath, parents: z.boolean(), mode: Mode.optional() }),
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
      /** Of a file that is made. */
      mode: Mode.optional(),
      /**
       * With `write`, `create`, and `truncate` or `exclusive`: what is written is under the file's name only when the
       * handle is closed, and until then what was there before. Whoever looks at the name, opens, moves or removes it
       * meets what is being written. Without those, and with `append`, the file itself is written.
       */
      atClose: z.boolean().default(false),
    }),
    output: z.object({
      handle: Handle,
      entry: FileEntry,
      /** There was nothing under the name before. */
      isNew: z.boolean().optional(),
    }),
  },
  usage: {
    input: z.object({}),
    output: z.object({ usedBytes: Count, limitBytes: Count.nullable() }),
  },
  /** A line of the system in the server's console, and so in its log. */
  note: { input: z.object({ text: z.string().min(1).max(NOTE_MAX_LENGTH) }), output: z.object({}) },
  /** An upload that comes in parts, also over several connections, agents and panels. */
  'begin-upload': {
    input: z.object({ path: FilePath, replace: z.boolean(), sizeBytes: Count }),
    output: PartialUpload,
  },
  'find-upload': { input: z.object({ uploadId: Uuid }), output: PartialUpload },
  'list-uploads': { input: z.object({}), output: z.object({ uploads: z.array(PartialUpload) }) },
  /**
   * Once all of it has come: checks it and puts it in its place in one step. A checksum goes on when its caller has gone, so
   * that who asks again comes to the end of the largest file.
   */
  'finish-upload': {
    input: z.object({ uploadId: Uuid, sha256: Sha256.optional() }),
    output: FileEntry,
  },
  'cancel-upload': { input: z.object({ uploadId: Uuid }), output: z.object({}) },
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
  close: {
    input: z.object({
      /** What was to come to its name now does not. */
      discard: z.boolean().default(false),
      /** Its client has gone without closing it: what came stays for it to resume, unless something newer is under its name. */
      isAbandoned: z.boolean().default(false),
    }),
    /** `isDropped`: something newer was. */
    output: z.object({ isDropped: z.boolean().default(false) }),
  },
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
 * - `PUT  /servers/{uuid}/uploads/{uploadId}?offset=…` → PartialUpload; the offset is where the upload is. What came before
 *   a part was cut off stays
 * An answer that ends early is reset, never cut short.
 */
export const contentPath = (serverUuid: string, query: URLSearchParams) =>
  `/servers/${Uuid.parse(serverUuid)}/content?${query}`;
export const operationPath = (serverUuid: string, operation: FileOperation) =>
  `/servers/${Uuid.parse(serverUuid)}/${operation}`;
export const uploadPath = (serverUuid: string, uploadId: string, query: URLSearchParams) =>
  `/servers/${Uuid.parse(serverUuid)}/uploads/${Uuid.parse(uploadId)}?${query}`;
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
  /** An entry that would lead out, is no file or directory, or is more than can be believed; the message names it. */
  'archive.hostile_entry',
  /** Damaged, cut off, or of no kind that the node can read. */
  'archive.unreadable',
  /** The node does not have what this kind of archive takes. */
  'archive.unsupported',
  /** Not an address that files are fetched from. */
  'url.refused',
  'url.failed',
  'upload.not_found',
  'upload.offset_mismatch',
  'upload.incomplete',
  'upload.checksum_mismatch',
  'server.not_found',
]);
export type FileErrorCode = z.infer<typeof FileErrorCode>;
export const FileErrorBody = z.object({ code: FileErrorCode, message: z.string() });
export type FileErrorBody = z.infer<typeof FileErrorBody>;

/** Of one server at once; more wait their turn. */
export const STREAMS_PER_SERVER_MAX = 16;
export const HANDLES_PER_SERVER_MAX = 64;
export const UPLOADS_PER_SERVER_MAX = 32;
/** The most that one read or write of a handle may carry; a reading to the end of the file may be longer. */
export const HANDLE_CHUNK_MAX_BYTES = 4 * 1024 * 1024;

/** JSON of either side. */
export const FILE_JSON_MAX_BYTES = 4 * 1024 * 1024;
/** What may be on its way on one stream, and on all of a connection, before the receiver has made room again. */
export const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
export const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** The largest HTTP/2 frame. */
export const DATA_FRAME_MAX_BYTES = 1024 * 1024;
/** What waits on either side of a transfer before its writer does. */
export const DATA_BUFFER_BYTES = 1024 * 1024;
