import type { Attributes } from 'ssh2';
import type { FilePlane } from '../gateway/files.js';
import { AppError, type ErrorCode } from '../lib/errors.js';
import type { FileEntry, FileInput, FileOperation, FileOutput } from '../protocol/data-plane.js';
import type { Caller, FileRight } from './caller.js';
import type { Changes } from './changes.js';
import { createFileQueue } from './file-queue.js';
import type { Flow } from './flow.js';
import type { OpenDirectory, OpenFile } from './handles.js';
import { followLinks } from './link-target.js';
import { modeOf, readOpening } from './open-modes.js';
import { resolvePath, targetOf } from './paths.js';
import { badMessage, failure } from './status.js';

/** Entries that are asked of the node at once. */
const PAGE_ENTRIES = 1000;
/** In one answer to READDIR: long ones still fit into what clients take. */
const NAMES_PER_ANSWER = 100;

export interface PathOperationsOptions {
  caller: Caller;
  files: FilePlane;
  flow: Flow;
  changes: Changes;
  signal: AbortSignal;
}

export type PathOperations = ReturnType<typeof createPathOperations>;

/** What is asked by a path. */
export function createPathOperations({ caller, files, flow, changes, signal }: PathOperationsOptions) {
  async function operate<Name extends FileOperation>(
    right: FileRight,
    name: Name,
    input: FileInput<Name>,
  ): Promise<FileOutput<Name>> {
    const { nodeId, uuid } = await caller.authorise(right);
    return files.operate(nodeId, uuid, name, input, { signal });
  }

  /** What has begun is seen to its end, whoever hangs up meanwhile: else nobody would know what it changed. */
  async function change<Name extends FileOperation>(
    right: FileRight,
    name: Name,
    input: FileInput<Name>,
  ): Promise<FileOutput<Name>> {
    const { nodeId, uuid } = await caller.authorise(right);
    signal.throwIfAborted();
    return files.operate(nodeId, uuid, name, input);
  }

  function stat(path: string, followLinks: boolean): Promise<FileEntry> {
    return operate('file.read', 'stat', { path: resolvePath(path), followLinks });
  }

  async function open(given: string, flags: number, attributes: Partial<Attributes>): Promise<OpenFile> {
    const opening = readOpening(flags, attributes);
    const path = resolvePath(given);
    if (opening.read) await caller.authorise('file.read');
    const { nodeId, uuid } = await caller.authorise(opening.write ? 'file.write' : 'file.read');
    signal.throwIfAborted();
    const call = opening.write ? {} : { signal };
    const { handle } = await files.operate(nodeId, uuid, 'open', { path, ...opening }, call);
    const client = files.handle(nodeId, handle);
    const queue = createFileQueue({ client, flow, signal, authorise: requireSameNode(nodeId) });
    return {
      kind: 'file',
      ...{ path, nodeId, client, queue },
      canRead: opening.read,
      canWrite: opening.write,
      comesAtClose: opening.atClose ?? false,
      isChanged: opening.truncate || opening.exclusive,
      writtenBytes: 0,
    };
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
    await flow.room(signal);
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
    await change('file.delete', 'remove', { path: target, recursive: false });
    changes.add('delete', target);
  }

  /** A file in the way is replaced, as what uploads under a temporary name counts on; a directory is not. */
  async function rename(from: string, to: string): Promise<void> {
    const paths = { from: requireBelowRoot(from), to: requireBelowRoot(to) };
    const look = operate('file.write', 'stat', { path: paths.to, followLinks: false });
    const inTheWay = await look.catch((error: unknown) => {
      if (hasCode(error, 'file.not_found')) return null;
      throw error;
    });
    if (inTheWay?.kind === 'directory' && paths.from !== paths.to) {
      throw failure('There is a directory of the new name.');
    }
    await change('file.write', 'rename', { ...paths, replace: true });
    changes.add('rename', paths.from, { to: paths.to });
  }

  async function makeDirectory(given: string, attributes: Partial<Attributes>): Promise<void> {
    const path = resolvePath(given);
    await change('file.write', 'make-directory', { path, parents: false, ...modeOf(attributes) });
    changes.add('create', path);
  }

  async function makeLink(given: string, target: string): Promise<void> {
    const path = requireBelowRoot(given);
    await change('file.write', 'make-link', { path, target: targetOf(path, target) });
    changes.add('create', path);
  }

  async function setAttributes(given: string, attributes: Partial<Attributes>): Promise<void> {
    const wanted = changesOf(attributes);
    const path = resolvePath(given);
    if (Object.keys(wanted).length === 0) {
      await operate('file.write', 'stat', { path, followLinks: true });
      return;
    }
    const set = (place: string) => change('file.write', 'set-attributes', { path: place, ...wanted });
    await set(path).catch(async (error: unknown) => {
      if (!hasCode(error, 'file.not_regular')) throw error;
      const place = await followLinks(path, readLink);
      if (place === path) throw error;
      return set(place);
    });
    if (wanted.sizeBytes !== undefined) changes.add('upload', path);
  }

  async function readLink(path: string): Promise<string> {
    const { target } = await operate('file.read', 'read-link', { path: resolvePath(path) });
    return target;
  }

  return {
    stat,
    open,
    openDirectory,
    readDirectory,
    requireSameNode,
    rename,
    makeDirectory,
    makeLink,
    setAttributes,
    removeFile: (path: string) => remove(path, 'file'),
    removeDirectory: (path: string) => remove(path, 'directory'),
    readLink,
  };
}

function hasCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof AppError && error.code === code;
}

/** Whose a file is stays as it is: clients that ask for that with everything else are not refused. */
export function changesOf(attributes: Partial<Attributes>) {
  const { mtime, size } = attributes;
  if (size !== undefined) requireSize(size);
  return {
    ...modeOf(attributes),
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
