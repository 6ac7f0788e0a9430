import type { Attributes } from 'ssh2';
import { AppError } from '../lib/errors.js';
import type { Changes } from './changes.js';
import { modeOf } from './open-modes.js';
import type { PathCalls } from './path-calls.js';
import { resolvePath, targetOf } from './paths.js';
import { failure } from './status.js';

/** Changes of what there is in a directory. */
export interface NameChanges {
  removeFile(path: string): Promise<void>;
  removeDirectory(path: string): Promise<void>;
  /** A file in the way is replaced, as what uploads under a temporary name counts on; a directory is not. */
  rename(from: string, to: string): Promise<void>;
  makeDirectory(path: string, attributes: Partial<Attributes>): Promise<void>;
  makeLink(path: string, target: string): Promise<void>;
}

export function createNameChanges({ calls, changes }: { calls: PathCalls; changes: Changes }): NameChanges {
  const { look, change } = calls;

  async function remove(given: string, wanted: 'directory' | 'file'): Promise<void> {
    const path = requireBelowRoot(given);
    const { kind } = await look('file.delete', 'stat', { path, followLinks: false });
    if (wanted === 'directory' && kind !== 'directory') throw failure('This is not a directory.');
    if (wanted === 'file' && kind === 'directory') throw failure('This is a directory: remove it as one.');
    await change('file.delete', 'remove', { path, recursive: false });
    changes.add('delete', path);
  }

  return {
    removeFile: (path) => remove(path, 'file'),
    removeDirectory: (path) => remove(path, 'directory'),

    async rename(givenFrom, givenTo) {
      const [from, to] = [requireBelowRoot(givenFrom), requireBelowRoot(givenTo)];
      const found = look('file.write', 'stat', { path: to, followLinks: false });
      const inTheWay = await found.catch(nullForNothing);
      if (inTheWay?.kind === 'directory' && from !== to) {
        throw failure('There is a directory of the new name.');
      }
      await change('file.write', 'rename', { from, to, replace: true });
      changes.add('rename', from, { to });
    },

    async makeDirectory(given, attributes) {
      const path = resolvePath(given);
      await change('file.write', 'make-directory', { path, parents: false, ...modeOf(attributes) });
      changes.add('create', path);
    },

    async makeLink(given, target) {
      const path = requireBelowRoot(given);
      await change('file.write', 'make-link', { path, target: targetOf(path, target) });
      changes.add('create', path);
    },
  };
}

function nullForNothing(error: unknown): null {
  if (error instanceof AppError && error.code === 'file.not_found') return null;
  throw error;
}

function requireBelowRoot(path: string): string {
  const resolved = resolvePath(path);
  if (resolved === '/') throw failure('This is the directory of the server itself.');
  return resolved;
}
