import type { Attributes } from 'ssh2';
import type { FilePlane } from '../gateway/files.js';
import { AppError } from '../lib/errors.js';
import type { FileEntry } from '../protocol/data-plane.js';
import type { Caller } from './caller.js';
import type { Changes } from './changes.js';
import { createDirectoryReader, type DirectoryReader } from './directory-reading.js';
import { createFileOpener, type FileOpener } from './file-opening.js';
import type { Flow } from './flow.js';
import { createKnown, type KnownEntries } from './known.js';
import { followLinks } from './link-target.js';
import { createNameChanges, type NameChanges } from './name-changes.js';
import { modeOf } from './open-modes.js';
import { createPathCalls } from './path-calls.js';
import { resolvePath } from './paths.js';
import { badMessage } from './status.js';

export interface PathOperationsOptions {
  caller: Caller;
  files: FilePlane;
  flow: Flow;
  changes: Changes;
  signal: AbortSignal;
}

/** What is asked by a path. */
export interface PathOperations extends DirectoryReader, FileOpener, NameChanges {
  stat(path: string, followLinks: boolean): Promise<FileEntry>;
  setAttributes(path: string, attributes: Partial<Attributes>): Promise<void>;
  readLink(path: string): Promise<string>;
}

export function createPathOperations(options: PathOperationsOptions): PathOperations {
  const { caller, changes, flow } = options;
  const calls = createPathCalls(options);
  const { look, change } = calls;
  const known: KnownEntries = createKnown(flow);

  async function readLink(path: string): Promise<string> {
    const { target } = await look('file.read', 'read-link', { path: resolvePath(path) });
    return target;
  }

  return {
    ...createDirectoryReader({ ...options, calls }),
    ...createFileOpener({ ...options, known }),
    ...createNameChanges({ calls, changes }),
    readLink,

    async stat(given, followLinks) {
      const path = resolvePath(given);
      const entry = known.take(path);
      if (entry === undefined || !followLinks) return look('file.read', 'stat', { path, followLinks });
      await caller.authorise('file.read');
      return entry;
    },

    async setAttributes(given, attributes) {
      const wanted = changesOf(attributes);
      const path = resolvePath(given);
      if (Object.keys(wanted).length === 0) {
        await look('file.write', 'stat', { path, followLinks: true });
        return;
      }
      const set = (place: string) => change('file.write', 'set-attributes', { path: place, ...wanted });
      try {
        known.hold(path, await set(path));
      } catch (error) {
        // A link is not set itself.
        if (!(error instanceof AppError) || error.code !== 'file.not_regular') throw error;
        const place = await followLinks(path, readLink);
        if (place === path) throw error;
        await set(place);
      }
      if (wanted.sizeBytes !== undefined) changes.add('upload', path);
    },
  };
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
