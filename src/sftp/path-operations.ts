import ssh2, { type Attributes } from 'ssh2';
import type { FilePlane } from '../gateway/files.js';
import type { FileEntry, FileInput, FileOperation, FileOutput } from '../protocol/data-plane.js';
import type { Caller, FileRight } from './caller.js';
import { createFileQueue } from './file-queue.js';
import type { Flow } from './flow.js';
import type { OpenDirectory, OpenFile } from './handles.js';
import { resolvePath } from './paths.js';
import { badMessage, failure } from './status.js';

const { OPEN_MODE } = ssh2.utils.sftp;

/** Entries that are asked of the node at once. */
const PAGE_ENTRIES = 1000;
/** In one answer to READDIR: long ones still fit into what clients take. */
const NAMES_PER_ANSWER = 100;
const PERMISSIONS = 0o777;

export interface PathOperationsOptions {
  caller: Caller;
  files: FilePlane;
  flow: Flow;
  signal: AbortSignal;
}

export type PathOperations = ReturnType<typeof createPathOperations>;

/** What is asked by a path. */
export function createPathOperations({ caller, files, flow, signal }: PathOperationsOptions) {
  async function operate<Name extends FileOperation>(
    right: FileRight,
    name: Name,
    input: FileInput<Name>,
  ): Promise<FileOutput<Name>> {
    const { nodeId, uuid } = await caller.authorise(right);
    return files.operate(nodeId, uuid, name, input, { signal });
  }

  function stat(path: string, followLinks: boolean): Promise<FileEntry> {
    return operate('file.read', 'stat', { path: resolvePath(path), followLinks });
  }

  async function open(path: string, flags: number): Promise<OpenFile> {
    const has = (flag: number) => (flags & flag) !== 0;
    const canWrite = has(
      OPEN_MODE.WRITE | OPEN_MODE.APPEND | OPEN_MODE.CREAT | OPEN_MODE.TRUNC | OPEN_MODE.EXCL,
    );
    const canRead = has(OPEN_MODE.READ) || !canWrite;
    if (has(OPEN_MODE.EXCL) && !has(OPEN_MODE.CREAT)) {
      throw badMessage('EXCL goes with CREAT only.');
    }
    if (canRead) await caller.authorise('file.read');
    const { nodeId, uuid } = await caller.authorise(canWrite ? 'file.write' : 'file.read');
    const input = {
      path: resolvePath(path),
      read: canRead,
      write: canWrite,
      append: has(OPEN_MODE.APPEND),
      create: has(OPEN_MODE.CREAT),
      exclusive: has(OPEN_MODE.EXCL),
      truncate: has(OPEN_MODE.TRUNC),
    };
    const { handle } = await files.operate(nodeId, uuid, 'open', input, { signal });
    const client = files.handle(nodeId, handle);
    const queue = createFileQueue({ client, flow, signal, authorise: requireSameNode(nodeId) });
    return { kind: 'file', nodeId, canRead, canWrite, client, queue };
  }

  /** A handle is of the node it was opened on; the server may have moved. */
  function requireSameNode(nodeId: string) {
    return async (right: FileRight) => {
      const server = await caller.authorise(right);
      if (server.nodeId !== nodeId) throw failure('The server is on another node now: open the file again.');
    };
  }

  async function openDirectory(path: string): Promise<OpenDirectory> {
    const target = resolvePath(path);
    const page = await operate('file.read', 'list', { path: target, limit: PAGE_ENTRIES });
    return { kind: 'directory', path: target, ...page, turn: Promise.resolve() };
  }

  async function readNames(directory: OpenDirectory): Promise<FileEntry[]> {
    await caller.authorise('file.read');
    const { path, next: after } = directory;
    if (directory.entries.length === 0 && after !== null) {
      const page = await operate('file.read', 'list', { path, after, limit: PAGE_ENTRIES });
      directory.entries = page.entries;
      directory.next = page.next;
    }
    const names = directory.entries.slice(0, NAMES_PER_ANSWER);
    directory.entries = directory.entries.slice(NAMES_PER_ANSWER);
    return names;
  }

  /** None at the end. */
  function readDirectory(directory: OpenDirectory): Promise<FileEntry[]> {
    const names = directory.turn.then(() => readNames(directory));
    directory.turn = names.catch(() => {});
    return names;
  }

  async function remove(path: string, wanted: 'directory' | 'file'): Promise<void> {
    const target = requireBelowRoot(path);
    const { kind } = await operate('file.delete', 'stat', { path: target, followLinks: false });
    if (wanted === 'directory' && kind !== 'directory') throw failure('This is not a directory.');
    if (wanted === 'file' && kind === 'directory') throw failure('This is a directory: remove it as one.');
    await operate('file.delete', 'remove', { path: target, recursive: false });
  }

  return {
    stat,
    open,
    openDirectory,
    readDirectory,
    requireSameNode,
    removeFile: (path: string) => remove(path, 'file'),
    removeDirectory: (path: string) => remove(path, 'directory'),
    async makeDirectory(path: string): Promise<void> {
      await operate('file.write', 'make-directory', { path: resolvePath(path), parents: false });
    },
    /** A file in the way is replaced, as what uploads under a temporary name counts on. */
    async rename(from: string, to: string): Promise<void> {
      const paths = { from: requireBelowRoot(from), to: requireBelowRoot(to) };
      await operate('file.write', 'rename', { ...paths, replace: true });
    },
    async setAttributes(path: string, attributes: Partial<Attributes>): Promise<void> {
      const changes = changesOf(attributes);
      const target = resolvePath(path);
      if (Object.keys(changes).length > 0) {
        await operate('file.write', 'set-attributes', { path: target, ...changes });
      } else {
        await operate('file.write', 'stat', { path: target, followLinks: true });
      }
    },
  };
}

/** Whose a file is stays as it is: clients that ask for that with everything else are not refused. */
export function changesOf({ mode, mtime, size }: Partial<Attributes>) {
  if (size !== undefined) requireSize(size);
  return {
    ...(mode !== undefined && { mode: mode & PERMISSIONS }),
    ...(mtime !== undefined && { modifiedAtMs: mtime * 1000 }),
    ...(size !== undefined && { sizeBytes: size }),
  };
}

/** The protocol has 64 bits for places in a file, which no file needs. */
export function requireSize(bytes: number): void {
  if (!Number.isSafeInteger(bytes)) throw badMessage('No file is as large as that.');
}

function requireBelowRoot(path: string): string {
  const resolved = resolvePath(path);
  if (resolved === '/') throw failure('This is the directory of the server itself.');
  return resolved;
}
