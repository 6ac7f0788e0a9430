import { type FileHandle, lstat, opendir } from 'node:fs/promises';
import type { FileEntry } from '../../src/protocol/data-plane.js';
import { isErrorCode } from '../atomic-file.js';
import { entryOf, pathOf } from './descriptors.js';
import { toListedEntry } from './entry.js';
import { together } from './together.js';

const AT_ONCE = 64;

interface Page {
  after: string | undefined;
  limit: number;
  signal: AbortSignal;
}

/**
 * One page of a directory, sorted by name, with memory for two pages however much there is. A directory that changes
 * meanwhile gives what stays in it exactly once.
 */
export async function listDirectory(
  directory: FileHandle,
  page: Page,
): Promise<{ entries: FileEntry[]; next: string | null }> {
  const { names, hasMore } = await smallestNames(directory, page);
  const entries: FileEntry[] = [];
  for (let index = 0; index < names.length; index += AT_ONCE) {
    page.signal.throwIfAborted();
    const found = names.slice(index, index + AT_ONCE).map((name) => look(directory, name.bytes));
    for (const entry of await together(found)) if (entry !== null) entries.push(entry);
  }
  return { entries, next: hasMore ? (names.at(-1)?.text ?? null) : null };
}

interface Name {
  text: string;
  bytes: Buffer;
}

async function smallestNames(directory: FileHandle, { after, limit, signal }: Page) {
  let names: Name[] = [];
  let hasMore = false;
  function keepSmallest() {
    names.sort((one, other) => (one.text < other.text ? -1 : Number(one.text > other.text)));
    hasMore ||= names.length > limit;
    names = names.slice(0, limit);
  }
  for await (const bytes of namesIn(directory)) {
    signal.throwIfAborted();
    const text = bytes.toString();
    if (after !== undefined && text <= after) continue;
    names.push({ text, bytes });
    if (names.length >= 2 * limit) keepSmallest();
  }
  keepSmallest();
  return { names, hasMore };
}

/** As bytes: a name need not be text. */
export async function* namesIn(directory: FileHandle): AsyncGenerator<Buffer> {
  for await (const { name } of await opendir(pathOf(directory), READ_AS_BYTES)) {
    yield Buffer.isBuffer(name) ? name : Buffer.from(name);
  }
}

/** Node takes any encoding here, but its types know only those of text. */
const READ_AS_BYTES = { encoding: 'buffer' as BufferEncoding, bufferSize: 256 };

async function look(directory: FileHandle, name: Buffer): Promise<FileEntry | null> {
  try {
    return toListedEntry(name, await lstat(entryOf(directory, name)));
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return null;
    throw error;
  }
}
