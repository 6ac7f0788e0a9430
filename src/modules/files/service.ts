import { Readable } from 'node:stream';
import type { Pool } from 'pg';
import type { Bus } from '../../events.js';
import type { FilePlane } from '../../gateway/files.js';
import type { Actor } from '../../lib/actor.js';
import { AppError, type ErrorCode } from '../../lib/errors.js';
import type { Log } from '../../lib/log.js';
import { type FileEntry, LIST_MAX } from '../../protocol/data-plane.js';
import type { ServerAccess } from '../servers/access.js';
import { type Archives, createArchives } from './archives.js';
import { createFileAudit } from './audit.js';
import { createDownloads, type Downloads } from './downloads.js';
import { createPartUploads, type PartUploads } from './part-uploads.js';
import { normaliseChangedPath, normalisePath } from './paths.js';
import { createPulls, type Pulls } from './pulls.js';
import type {
  CopyFileBody,
  CreateFileBody,
  DirectoryQuery,
  FileView,
  FoundFile,
  PermissionsBody,
  RenameFileBody,
  SearchQuery,
  WriteFileBody,
} from './schemas.js';
import { createFileTargets, type FileTarget, throwAsUsersSeeIt } from './targets.js';
import { createTasks, type Tasks } from './tasks.js';
import { createUploads, type Uploads } from './uploads.js';
import { fileView } from './views.js';
import { createWatch, whileHeld } from './watch.js';

export interface FilesOptions {
  pool: Pool;
  access: Pick<ServerAccess, 'authorise'>;
  plane: FilePlane;
  bus: Bus;
  log: Log;
  /** Of one uploaded file, or one part of it. */
  uploadMaxBytes: number;
  /** Of a file that a node fetches. */
  pullMaxBytes: number;
}

/** The files of a server on whatever node it is. Paths are relative to its directory. */
export interface Files extends Uploads, PartUploads, Downloads, Archives, Pulls, Omit<Tasks, 'start'> {
  /** Sorted by name; `next` is there when these are not all. */
  list(actor: Actor, serverId: string, query: DirectoryQuery): Promise<{ data: FileView[]; next?: string }>;
  stat(actor: Actor, serverId: string, path: string): Promise<FileView>;
  /** Everything below a directory whose name has the text in it, or is of that pattern. */
  search(
    actor: Actor,
    serverId: string,
    query: SearchQuery,
  ): Promise<{ data: FoundFile[]; isComplete: boolean }>;
  /** Throws `file.exists` when there is something under the name. */
  create(actor: Actor, serverId: string, body: CreateFileBody): Promise<FileView>;
  /** Puts the content in the place of what is in the file, in one step. */
  write(actor: Actor, serverId: string, body: WriteFileBody): Promise<FileView>;
  rename(actor: Actor, serverId: string, body: RenameFileBody): Promise<void>;
  copy(actor: Actor, serverId: string, body: CopyFileBody): Promise<{ bytes: number }>;
  setPermissions(actor: Actor, serverId: string, body: PermissionsBody): Promise<FileView>;
  /** Directories with everything in them. */
  remove(actor: Actor, serverId: string, path: string): Promise<void>;
  /** Cancels what takes long, and waits for what is being looked up. */
  close(): Promise<void>;
}

export function createFiles(options: FilesOptions): Files {
  const { pool, access, plane, bus, log, uploadMaxBytes, pullMaxBytes } = options;
  const targets = createFileTargets({ access, plane });
  const record = createFileAudit(pool);
  const watch = createWatch({ pool, bus, log });
  const { start, ...tasks } = createTasks({ targets, watch, bus, log, record });

  async function put(target: FileTarget, file: { path: string; content: string; replace: boolean }) {
    const { server } = target;
    const bytes = Buffer.from(file.content);
    await target.makeParents(file.path);
    const request = { path: file.path, replace: file.replace, sizeBytes: bytes.length };
    const body = Readable.from(bytes.length > 0 ? [bytes] : [], { objectMode: false });
    return plane.upload(server.nodeId, server.uuid, request, body).catch(throwAsUsersSeeIt);
  }

  async function makeDirectory(target: FileTarget, path: string): Promise<FileEntry> {
    await target.makeParents(path);
    return target.operate('make-directory', { path, parents: false });
  }

  return {
    ...createUploads({ targets, plane, watch, record, uploadMaxBytes }),
    ...createPartUploads({ targets, plane, watch, record, partMaxBytes: uploadMaxBytes }),
    ...createDownloads({ targets, plane, watch }),
    ...createArchives({ targets, start, record }),
    ...createPulls({ targets, start, record, pullMaxBytes }),
    ...tasks,

    async list(actor, serverId, { path, after }) {
      const { operate } = await targets.toRead(actor, serverId);
      const input = { path: normalisePath(path), limit: LIST_MAX, ...(after !== undefined && { after }) };
      const { entries, next } = await operate('list', input);
      return { data: entries.map(fileView), ...(next !== null && { next }) };
    },

    async stat(actor, serverId, path) {
      const { operate } = await targets.toRead(actor, serverId);
      return fileView(await operate('stat', { path: normalisePath(path), followLinks: false }));
    },

    async search(actor, serverId, { path, text, limit }) {
      const { operate } = await targets.toRead(actor, serverId);
      const { matches, isComplete } = await operate('search', { path: normalisePath(path), text, limit });
      const data = matches.map((match) => ({ path: normalisePath(match.path), ...fileView(match) }));
      return { data, isComplete };
    },

    async create(actor, serverId, { path: given, content, isDirectory }) {
      const target = await targets.toChange(actor, serverId, 'file.write');
      const path = normaliseChangedPath(given);
      if (isDirectory && content) throw new AppError('request.invalid', 'content: a directory has none');
      const entry = isDirectory
        ? await makeDirectory(target, path)
        : await put(target, { path, content: content ?? '', replace: false }).catch(throwAsExisting);
      await record(actor, target.server, 'file.create', { path, isDirectory });
      return fileView(entry);
    },

    async write(actor, serverId, { path: given, content }) {
      const target = await targets.toChange(actor, serverId, 'file.write');
      const path = normaliseChangedPath(given);
      const entry = await put(target, { path, content, replace: true });
      await record(actor, target.server, 'file.write', { path, sizeBytes: entry.sizeBytes });
      return fileView(entry);
    },

    async rename(actor, serverId, { from: givenFrom, to: givenTo, replace }) {
      const { server, operate } = await targets.toChange(actor, serverId, 'file.write');
      const from = normaliseChangedPath(givenFrom);
      const to = normaliseChangedPath(givenTo);
      await operate('rename', { from, to, replace });
      await record(actor, server, 'file.rename', { from, to });
    },

    async copy(actor, serverId, { from: givenFrom, to: givenTo }) {
      await targets.toRead(actor, serverId);
      const { server, operate } = await targets.toChange(actor, serverId, 'file.write');
      const from = normaliseChangedPath(givenFrom);
      const to = normaliseChangedPath(givenTo);
      const hold = watch.hold({ actor, server, rights: ['file.read', 'file.write'] });
      const copy = () => whileHeld(hold, (options) => operate('copy', { from, to }, options));
      const { bytes } = await copy().catch(async (error: unknown) => {
        if (mayBeHalfDone(error)) await record(actor, server, 'file.copy', { from, to, isComplete: false });
        throw error;
      });
      await record(actor, server, 'file.copy', { from, to, sizeBytes: bytes });
      return { bytes };
    },

    async setPermissions(actor, serverId, { path: given, mode }) {
      const { server, operate } = await targets.toChange(actor, serverId, 'file.write');
      const path = normaliseChangedPath(given);
      const entry = await operate('set-attributes', { path, mode: Number.parseInt(mode, 8) });
      await record(actor, server, 'file.permissions', { path, mode });
      return fileView(entry);
    },

    async remove(actor, serverId, given) {
      const { server, operate } = await targets.toChange(actor, serverId, 'file.delete');
      const path = normaliseChangedPath(given);
      const hold = watch.hold({ actor, server, rights: ['file.delete'] });
      const removal = () =>
        whileHeld(hold, (options) => operate('remove', { path, recursive: true }, options));
      await removal().catch(async (error: unknown) => {
        if (mayBeHalfDone(error)) await record(actor, server, 'file.delete', { path, isComplete: false });
        throw error;
      });
      await record(actor, server, 'file.delete', { path });
    },

    async close() {
      tasks.stopTasks();
      await watch.close();
    },
  };
}

/** What the node refuses before it begins. */
const NOT_BEGUN: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'file.not_found',
  'file.exists',
  'file.not_directory',
  'file.is_directory',
  'file.outside',
  'file.name_invalid',
  'server.not_installed',
  'node.files_unavailable',
]);

/** Of what goes through a directory, the part that was done before an error stays: it must not go unrecorded. */
function mayBeHalfDone(error: unknown): boolean {
  return !(error instanceof AppError && NOT_BEGUN.has(error.code));
}

/** To who creates a file it is all one what is in its way. */
function throwAsExisting(error: unknown): never {
  if (!(error instanceof AppError) || error.code !== 'file.is_directory') throw error;
  throw new AppError('file.exists', undefined, { cause: error });
}
