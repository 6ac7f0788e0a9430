import type { FileEntry } from '../protocol/data-plane.js';
import type { Caller } from './caller.js';
import type { Flow } from './flow.js';
import type { OpenDirectory } from './handles.js';
import type { PathCalls } from './path-calls.js';
import { resolvePath } from './paths.js';

/** Entries that are asked of the node at once. */
const PAGE_ENTRIES = 1000;
/** In one answer to READDIR: long ones still fit into what clients take. */
const NAMES_PER_ANSWER = 100;

export interface DirectoryReader {
  openDirectory(path: string): Promise<OpenDirectory>;
  /** The next of its entries; none at the end. */
  readDirectory(directory: OpenDirectory): Promise<FileEntry[]>;
}

export function createDirectoryReader({
  calls,
  caller,
  flow,
  signal,
}: {
  calls: PathCalls;
  caller: Caller;
  flow: Flow;
  signal: AbortSignal;
}): DirectoryReader {
  async function readNames(directory: OpenDirectory): Promise<FileEntry[]> {
    await flow.room(signal);
    await caller.authorise('file.read');
    const { path, next: after } = directory;
    if (directory.entries.length === 0 && after !== null) {
      const page = await calls.look('file.read', 'list', { path, after, limit: PAGE_ENTRIES });
      directory.entries = page.entries;
      directory.next = page.next;
    }
    const names = directory.entries.slice(0, NAMES_PER_ANSWER);
    directory.entries = directory.entries.slice(NAMES_PER_ANSWER);
    return names;
  }

  return {
    async openDirectory(given) {
      const path = resolvePath(given);
      const page = await calls.look('file.read', 'list', { path, limit: PAGE_ENTRIES });
      return { kind: 'directory', path, ...page, turn: Promise.resolve() };
    },
    readDirectory(directory) {
      const names = directory.turn.then(() => readNames(directory));
      directory.turn = names.catch(() => {});
      return names;
    },
  };
}
