import { isUtf8 } from 'node:buffer';
import { lstat } from 'node:fs/promises';
import { type FileOutput, FilePath } from '../../../src/protocol/data-plane.js';
import { isErrorCode } from '../../atomic-file.js';
import type { FileCall, FileRequest } from '../contract.js';
import type { PendingFiles } from '../handles/pending.js';
import { entryOf, openDirectory, type PathHandle, pathOf } from '../paths/descriptors.js';
import { isOwnName } from '../paths/own-names.js';
import { DEPTH_MAX, parsePath } from '../paths/paths.js';
import { walkToThing } from '../paths/walk.js';
import type { ServerFiles } from '../server-files.js';
import { ANSWER_MAX_BYTES, answerBytes } from './answer-size.js';
import { toListedEntry } from './entry.js';
import { bytesOf, openForListing } from './listing.js';
import { toNameFilter } from './name-pattern.js';
import { lookAt, type Shown } from './shown.js';
import { createSortedRuns, type SortedRuns } from './sorted-runs.js';

const ENTRIES_MAX = 200_000;
const TIME_MAX_MS = 5000;

interface Search {
  isWanted(name: string): boolean;
  limit: number;
  deadlineMs: number;
  signal: AbortSignal;
  pending: PendingFiles;
  /** How many names have been looked at. */
  seen: number;
  matches: FileOutput<'search'>['matches'];
  answerBytes: number;
  /** At a limit: nothing more is looked at. */
  isOver: boolean;
  /** Nothing was left out. */
  isComplete: boolean;
}

/** Below the path, links never followed, in the order of names: a directory, what is in it, the next. */
export async function searchFiles(
  { root, pending }: ServerFiles,
  { path, text, limit }: FileRequest<'search'>,
  { signal }: FileCall,
): Promise<FileOutput<'search'>> {
  const names = parsePath(path);
  const search: Search = {
    limit,
    signal,
    pending,
    isWanted: toNameFilter(text),
    deadlineMs: performance.now() + TIME_MAX_MS,
    seen: 0,
    matches: [],
    answerBytes: 0,
    isOver: false,
    isComplete: true,
  };
  const thing = await walkToThing(root, names, true);
  try {
    const directory = await openDirectory(`${pathOf(thing)}/.`);
    try {
      await searchDirectory(directory, names.map((name) => `/${name}`).join(''), search);
    } finally {
      await directory.close();
    }
  } finally {
    await thing.close();
  }
  return { matches: search.matches, isComplete: search.isComplete && !search.isOver };
}

async function searchDirectory(
  directory: PathHandle,
  path: string,
  search: Search,
  depth = 0,
): Promise<void> {
  for (const found of (await findIn(directory, search)).inOrder()) {
    search.signal.throwIfAborted();
    if (search.matches.length >= search.limit || search.answerBytes >= ANSWER_MAX_BYTES) {
      search.isOver = true;
      return;
    }
    const at = `${path}/${found.text}`;
    if (found.isWanted) {
      const shown = asShown(found);
      const status = await lookAt(directory, shown, (entry) => lstat(entry));
      if (status !== null) addMatch(search, { ...toListedEntry(shown.name, status), path: at });
    }
    if (found.isDirectory && !checkLimits(search).isOver)
      await enter(directory, found, { path: at, search, depth });
  }
}

/** A path that is longer than any that is taken cannot be asked for. */
function addMatch(search: Search, match: Search['matches'][number]): void {
  if (!FilePath.safeParse(match.path).success) {
    search.isComplete = false;
    return;
  }
  search.matches.push(match);
  search.answerBytes += answerBytes(match.name, match.path);
}

async function enter(
  parent: PathHandle,
  { text }: Found,
  { path, search, depth }: { path: string; search: Search; depth: number },
): Promise<void> {
  const directory = depth < DEPTH_MAX ? await openIfThere(entryOf(parent, text)) : 'closed';
  if (directory === 'gone') return;
  if (directory === 'closed') {
    search.isComplete = false;
    return;
  }
  try {
    await searchDirectory(directory, path, search, depth + 1);
  } finally {
    await directory.close();
  }
}

/** `closed` to this agent, unlike what is no directory any more. */
async function openIfThere(at: Buffer): Promise<PathHandle | 'gone' | 'closed'> {
  try {
    return await openDirectory(at);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].some((code) => isErrorCode(error, code))) return 'gone';
    if (isErrorCode(error, 'EACCES') || isErrorCode(error, 'EPERM')) return 'closed';
    throw error;
  }
}

interface Found {
  text: string;
  /** Only where the text does not say it all: a hundred thousand of them would keep the collector of garbage busy. */
  shown: Shown | null;
  isWanted: boolean;
  isDirectory: boolean;
}

function asShown({ text, shown }: Found): Shown {
  const name = Buffer.from(text);
  return shown ?? { name, entry: name };
}

/** Only what is wanted, and directories: most names are forgotten at once. */
async function findIn(directory: PathHandle, search: Search): Promise<SortedRuns<Found>> {
  const found = createSortedRuns<Found>((one, other) => one.text < other.text);
  for await (const entry of entriesIn(directory, search.pending)) {
    search.signal.throwIfAborted();
    if (checkLimits(search).isOver) break;
    search.seen += 1;
    const isWanted = search.isWanted(entry.text);
    if (isWanted || entry.isDirectory) found.add({ ...entry, isWanted });
  }
  return found;
}

function checkLimits(search: Search): Search {
  search.isOver ||= search.seen >= ENTRIES_MAX || performance.now() > search.deadlineMs;
  return search;
}

/** As users know them. A directory whose name is not text cannot be named in a path. */
async function* entriesIn(
  directory: PathHandle,
  pending: PendingFiles,
): AsyncGenerator<Omit<Found, 'isWanted'>> {
  const coming = await pending.namesIn(directory);
  for (const [text, temporaryName] of coming) {
    const shown = { name: Buffer.from(text), entry: Buffer.from(temporaryName) };
    yield { text, shown, isDirectory: false };
  }
  for await (const entry of await openForListing(directory)) {
    const name = bytesOf(entry.name);
    const text = name.toString();
    if (isOwnName(text) || coming.has(text)) continue;
    if (!isUtf8(name)) yield { text, shown: { name, entry: name }, isDirectory: false };
    else {
      const isDirectory = entry.isDirectory() || (await isUnknownDirectory(directory, name, entry));
      yield { text, shown: null, isDirectory };
    }
  }
}

/** Some file systems do not list what kind a thing is (DT_UNKNOWN): that is told only to who looks. */
async function isUnknownDirectory(
  directory: PathHandle,
  name: Buffer,
  entry: { isFile(): boolean; isSymbolicLink(): boolean },
): Promise<boolean> {
  if (entry.isFile() || entry.isSymbolicLink()) return false;
  const status = await lstat(entryOf(directory, name)).catch(() => null);
  return status?.isDirectory() ?? false;
}
