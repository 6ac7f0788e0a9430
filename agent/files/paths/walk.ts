import { readlink } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { FileError } from '../errors.js';
import { entryOf, openDirectory, openPlace, type PathHandle } from './descriptors.js';
import type { Beneath, Wanted } from './openat2.js';

const LINKS_MAX = 40;
const LINK_TARGET_MAX_BYTES = 4096;
/** Opened directories of one walk, which links with many `..` in them begin anew. */
const STEPS_MAX = 2000;

/** Where a name is looked up. To be closed by who gets it. */
export interface Place {
  parent: PathHandle;
  name: string;
}

/** The directory of a server, and how it is gone into. */
export interface Root {
  path: string;
  /** Null: only by walking. What it cannot open is walked to, so that it makes no difference but to speed. */
  beneath: Beneath | null;
}

/** A directory on the way that is not there is made by it, and opened after. */
export type MakeDirectory = (parent: PathHandle, name: string) => Promise<void>;

/**
 * The directory that holds the last of the names, itself not looked at. Each is opened in the one before, never a whole
 * path, so nothing that the game swaps meanwhile leads elsewhere. A link on the way counts if it leads to a place in the
 * server's directory: its target is read as text and walked by the same rules. `..` in it goes back along the names walked
 * so far, by walking them again from the top. Absolute targets are refused: inside of a container they mean another place.
 */
export async function walkToParent(root: Root, names: string[], make?: MakeDirectory): Promise<Place> {
  const last = names.at(-1);
  if (last === undefined)
    throw new FileError('file.name_invalid', 'This is the directory of the server itself.');
  const above = names.slice(0, -1);
  const parent = openBeneath(root, above, 'directory');
  if (parent !== null) return { parent, name: last };
  const budget = newBudget();
  const { directory } = await walk({ root: root.path, walked: [], todo: above, budget, make });
  return { parent: directory, name: last };
}

/**
 * The thing itself, opened as a place only: nothing of its content, and a device does not notice.
 * @param followLinks Whether a link is followed to the end, within the server's directory.
 */
export async function walkToThing(root: Root, names: string[], followLinks: boolean): Promise<PathHandle> {
  const thing = openBeneath(root, names, followLinks ? 'thing' : 'thing or link');
  if (thing !== null) return thing;
  const budget = newBudget();
  let [walked, todo]: [string[], string[]] = [[], names];
  for (;;) {
    const last = todo.at(-1);
    if (last === undefined || last === '..')
      return (await walk({ root: root.path, walked, todo, budget })).directory;
    const way = await walk({ root: root.path, walked, todo: todo.slice(0, -1), budget });
    try {
      const place = await openPlace(entryOf(way.directory, last));
      if (!followLinks || !(await place.stat()).isSymbolicLink()) return place;
      await place.close();
      [walked, todo] = [way.walked, await readTarget(way.directory, last, budget)];
    } finally {
      await way.directory.close();
    }
  }
}

export async function withPlace<Result>(
  place: Promise<Place>,
  use: (place: Place) => Promise<Result>,
): Promise<Result> {
  const found = await place;
  try {
    return await use(found);
  } finally {
    await found.parent.close();
  }
}

/** Of the directory itself there is nothing to look up. */
function openBeneath({ path, beneath }: Root, names: string[], wanted: Wanted): PathHandle | null {
  return beneath === null || names.length === 0 ? null : beneath.open(path, names, wanted);
}

interface Budget {
  links: number;
  steps: number;
}

interface Walk {
  root: string;
  /** Known to be directories and no links, at least when they were walked. */
  walked: string[];
  todo: string[];
  budget: Budget;
  make?: MakeDirectory | undefined;
}

function newBudget(): Budget {
  return { links: 0, steps: 0 };
}

async function walk(start: Walk): Promise<{ directory: PathHandle; walked: string[] }> {
  const { root, budget, make } = start;
  let todo = [...start.walked, ...start.todo];
  let walked: string[] = [];
  let directory = await openRoot(root);
  try {
    for (;;) {
      const name = todo.shift();
      if (name === undefined) return { directory, walked };
      spend(budget);
      if (name === '..') {
        if (walked.length === 0) throw outside();
        todo = [...walked.slice(0, -1), ...todo];
        [walked, directory] = [[], await exchange(directory, openRoot(root))];
        continue;
      }
      const next = await step(directory, name, make);
      if (next !== null) {
        directory = await exchange(directory, Promise.resolve(next));
        walked.push(name);
        continue;
      }
      // From the top again: what has been walked may have been swapped since, and is looked at like anything else.
      todo = [...walked, ...(await readTarget(directory, name, budget)), ...todo];
      [walked, directory] = [[], await exchange(directory, openRoot(root))];
    }
  } catch (error) {
    await directory.close();
    throw error;
  }
}

function spend(budget: Budget) {
  budget.steps += 1;
  if (budget.steps > STEPS_MAX) throw new FileError('file.not_found', 'The links on the way are too long.');
}

async function exchange(old: PathHandle, next: Promise<PathHandle>): Promise<PathHandle> {
  const opened = await next;
  await old.close();
  return opened;
}

/** Null: it is a link. */
async function step(
  directory: PathHandle,
  name: string,
  make: MakeDirectory | undefined,
): Promise<PathHandle | null> {
  const at = entryOf(directory, name);
  try {
    return await openDirectory(at);
  } catch (error) {
    if (make !== undefined && isErrorCode(error, 'ENOENT')) {
      await make(directory, name);
      return await openDirectory(at);
    }
    if (!isErrorCode(error, 'ENOTDIR') && !isErrorCode(error, 'ELOOP')) throw error;
    const place = await openPlace(at);
    try {
      if ((await place.stat()).isSymbolicLink()) return null;
    } finally {
      await place.close();
    }
    throw new FileError('file.not_directory', `"${name}" is not a directory.`, { cause: error });
  }
}

async function readTarget(directory: PathHandle, name: string, budget: Budget): Promise<string[]> {
  budget.links += 1;
  if (budget.links > LINKS_MAX)
    throw new FileError('file.not_found', 'The links on the way lead in a circle.');
  const target = await readlink(entryOf(directory, name), 'buffer').catch((error: unknown) => {
    // It is no link any more.
    if (isErrorCode(error, 'EINVAL')) throw new FileError('file.busy', 'The path is changing: try again.');
    throw error;
  });
  const text = target.toString();
  if (text.startsWith('/')) throw outside();
  if (target.length > LINK_TARGET_MAX_BYTES)
    throw new FileError('file.not_found', 'A link on the way is too long.');
  return text.split('/').filter((part) => part !== '' && part !== '.');
}

async function openRoot(root: string): Promise<PathHandle> {
  try {
    return await openDirectory(root);
  } catch (error) {
    if (!isErrorCode(error, 'ENOENT')) throw error;
    throw new FileError('server.not_found', 'The server has no files yet: install it first.', {
      cause: error,
    });
  }
}

function outside(): FileError {
  return new FileError('file.outside', 'A link on the way leads out of the directory of the server.');
}
