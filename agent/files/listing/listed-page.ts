import { lstat } from 'node:fs/promises';
import type { FileEntry } from '../../../src/protocol/data-plane.js';
import type { PendingFiles } from '../handles/pending.js';
import type { PathHandle } from '../paths/descriptors.js';
import { together } from '../together.js';
import { ANSWER_MAX_BYTES, answerBytes } from './answer-size.js';
import { toListedEntry } from './entry.js';
import { lookAt, type Shown, shownIn } from './shown.js';

const AT_ONCE = 64;

interface Page {
  after: string | undefined;
  limit: number;
  pending: PendingFiles;
  signal: AbortSignal;
}

/**
 * One page of a directory, sorted by name, with memory for two pages however much there is. A directory that changes
 * meanwhile gives what stays in it exactly once.
 */
export async function listDirectory(
  directory: PathHandle,
  page: Page,
): Promise<{ entries: FileEntry[]; next: string | null }> {
  const { names, hasMore } = await smallestNames(directory, page);
  const entries: FileEntry[] = [];
  let sizeBytes = 0;
  let index = 0;
  while (index < names.length && sizeBytes < ANSWER_MAX_BYTES) {
    page.signal.throwIfAborted();
    const part = names.slice(index, index + AT_ONCE);
    index += part.length;
    for (const { text } of part) sizeBytes += answerBytes(text);
    const found = part.map(async ({ shown }) => {
      const status = await lookAt(directory, shown, (at) => lstat(at));
      return status === null ? null : toListedEntry(shown.name, status);
    });
    for (const entry of await together(found)) if (entry !== null) entries.push(entry);
  }
  const isAll = index === names.length && !hasMore;
  return { entries, next: isAll ? null : (names[index - 1]?.text ?? null) };
}

interface Name {
  text: string;
  shown: Shown;
}

async function smallestNames(directory: PathHandle, { after, limit, pending, signal }: Page) {
  let names: Name[] = [];
  let hasMore = false;
  function keepSmallest() {
    names.sort((one, other) => (one.text < other.text ? -1 : Number(one.text > other.text)));
    hasMore ||= names.length > limit;
    names = names.slice(0, limit);
  }
  for await (const shown of shownIn(directory, pending)) {
    signal.throwIfAborted();
    const text = shown.name.toString();
    if (after !== undefined && text <= after) continue;
    names.push({ text, shown });
    if (names.length >= 2 * limit) keepSmallest();
  }
  keepSmallest();
  return { names, hasMore };
}
