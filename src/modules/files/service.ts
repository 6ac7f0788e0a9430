import { Readable } from 'node:stream';
import type { Pool } from 'pg';
import type { Bus } from '../../events.js';
import type { FilePlane } from '../../gateway/files.js';
import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { Log } from '../../lib/log.js';
import { type FileEntry, LIST_MAX } from '../../protocol/data-plane.js';
import type { ServerAccess } from '../servers/access.js';
import { type Archives, createArchives } from './archives.js';
import { createFileAudit } from './audit.js';
import { type BulkChanges, createBulkChanges } from './bulk-changes.js';
import { createDownloads, type Downloads } from './downloads.js';
import { createFormUploads, type FormUploads } from './form-uploads.js';
import { normaliseChangedPath, normalisePath } from './paths.js';
import { createPulls, type Pulls } from './pulls.js';
import { createResumableUploads, type ResumableUploads } from './resumable-uploads.js';
import type {
  CreateFileBody,
  DirectoryQuery,
  FileView,
  FoundFile,
  PermissionsBody,
  RenameFileBody,
  SearchQuery,
  WriteFileBody,
} from './schemas.js';
import { createFileTargets, type FileTarget } from './targets.js';
import { createTasks, type Tasks } from './tasks.js';
import { fileView } from './views.js';
import { createWatch } from './watch.js';

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
export interface Files
  extends FormUploads,
    ResumableUploads,
    Downloads,
    Archives,
    Pulls,
    BulkChanges,
    Omit<Tasks, 'start'> {
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
  setPermissions(actor: Actor, serverId: string, body: PermissionsBody): Promise<FileView>;
  /** Cancels all tasks, and waits for a check of rights that is under way. */
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
    return plane.upload(server.nodeId, server.uuid, request, body);
  }

  async function makeDirectory(target: FileTarget, path: string): Promise<FileEntry> {
    await target.makeParents(path);
    return target.operate('make-directory', { path, parents: false });
  }

  return {
    ...createFormUploads({ targets, plane, watch, record, uploadMaxBytes }),
    ...createResumableUploads({ targets, plane, watch, record, partMaxBytes: uploadMaxBytes }),
    ...createDownloads({ targets, plane, watch }),
    ...createArchives({ targets, start, record }),
    ...createPulls({ targets, start, record, pullMaxBytes }),
    ...createBulkChanges({ targets, watch, record }),
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
      const from = normaliseChangedPath(givenFrom, 'from');
      const to = normaliseChangedPath(givenTo, 'to');
      await operate('rename', { from, to, replace });
      await record(actor, server, 'file.rename', { from, to });
    },

    async setPermissions(actor, serverId, { path: given, mode }) {
      const { server, operate } = await targets.toChange(actor, serverId, 'file.write');
      const path = normaliseChangedPath(given);
      const entry = await operate('set-attributes', { path, mode: Number.parseInt(mode, 8) });
      await record(actor, server, 'file.permissions', { path, mode });
      return fileView(entry);
    },

    async close() {
      tasks.stopTasks();
      await watch.close();
    },
  };
}

/** To who creates a file it is all one what is in its way. */
function throwAsExisting(error: unknown): never {
  if (!(error instanceof AppError) || error.code !== 'file.is_directory') throw error;
  throw new AppError('file.exists', undefined, { cause: error });
}
