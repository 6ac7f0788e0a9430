import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import { readFileIfExists, writeFileAtomically } from '../../atomic-file.js';
import { loadNativeLibrary } from '../../native.js';
import { ignoreMissing } from '../changing/temporary.js';
import { entryOf, openPlace, type PathHandle, pathOf } from '../paths/descriptors.js';
import { DEPTH_MAX } from '../paths/paths.js';
import { createProjectCalls, type ProjectCalls } from './projects.js';

/** The file system itself counts what servers take and refuses what is too much, also to the games. */
export interface ProjectQuotas {
  /** From now on what is in the directory counts, against this limit. Null: no limit. */
  apply(serverUuid: string, directory: string, limitBytes: number | null): Promise<void>;
  /** Null: it is not counted. */
  usedBytes(serverUuid: string, directory: string): Promise<number | null>;
  /** Its number is free for another server. */
  forget(serverUuid: string): void;
}

export interface ProjectQuotasOptions {
  /** A directory of the file system that the servers' files are on. */
  directory: string;
  /** Where the numbers of the servers are written down. */
  tablePath: string;
  log: Logger;
}

/** Far from the small numbers that administrators and container engines choose. */
const FIRST_PROJECT = 1_500_000_000;
const LAST_PROJECT = FIRST_PROJECT + 100_000_000;
const Table = z.record(z.string(), z.number().int().min(FIRST_PROJECT).max(LAST_PROJECT));
const DIRECTORY_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** Null, with a line in the log, where there are none: servers are then only looked at from time to time. */
export async function openProjectQuotas(options: ProjectQuotasOptions): Promise<ProjectQuotas | null> {
  const { directory, tablePath, log } = options;
  try {
    const calls = createProjectCalls(await loadNativeLibrary());
    await withDirectory(directory, ({ fd }) => {
      if (!calls.isEnforced(fd)) throw new Error('the file system is not mounted with prjquota');
      // Only who may ask for others' may also set them.
      calls.usedBytes(fd, FIRST_PROJECT);
    });
    const quotas = createProjectQuotas(calls, tablePath, directory);
    log.info({ directory }, 'the file system holds servers to their disk limits (project quotas)');
    return quotas;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    log.info({ reason }, 'disk limits are held by looking at what servers take: no project quotas here');
    return null;
  }
}

function createProjectQuotas(calls: ProjectCalls, tablePath: string, directory: string): ProjectQuotas {
  const table = Table.parse(JSON.parse(readFileIfExists(tablePath) ?? '{}'));
  const save = () => writeFileAtomically(tablePath, JSON.stringify(table));

  /** One that nobody else has on this file system, another agent included. */
  function choose(descriptor: number): number {
    const taken = new Set(Object.values(table));
    for (let id = FIRST_PROJECT; id < LAST_PROJECT; id += 1) {
      if (!taken.has(id) && calls.isFree(descriptor, id)) return id;
    }
    throw new Error('There is no free project number.');
  }

  return {
    async apply(serverUuid, path, limitBytes) {
      await withDirectory(path, async (root) => {
        const id = table[serverUuid] ?? choose(root.fd);
        calls.setLimit(root.fd, id, limitBytes);
        if (table[serverUuid] === undefined) {
          table[serverUuid] = id;
          save();
        }
        const { id: current, isInherited } = calls.projectOf(root.fd);
        if (current !== id || !isInherited) await tagTree(calls, root, id, 0);
      });
    },
    async usedBytes(serverUuid, path) {
      const id = table[serverUuid];
      if (id === undefined) return null;
      return await withDirectory(path, ({ fd }) =>
        calls.projectOf(fd).id === id ? calls.usedBytes(fd, id) : null,
      );
    },
    forget(serverUuid) {
      const id = table[serverUuid];
      if (id === undefined) return;
      delete table[serverUuid];
      save();
      void withDirectory(directory, ({ fd }) => calls.setLimit(fd, id, null)).catch(() => {});
    },
  };
}

/** What is below comes first, so that a tree whose top has the number has it everywhere. Nothing is followed. */
async function tagTree(calls: ProjectCalls, directory: PathHandle, id: number, depth: number): Promise<void> {
  if (depth > DEPTH_MAX) throw new Error(`There are more than ${DEPTH_MAX} directories in one another.`);
  for (const name of await readdir(pathOf(directory), { encoding: 'buffer' })) {
    const place = await openPlace(entryOf(directory, name)).catch(ignoreMissing);
    if (place === undefined) continue;
    try {
      const status = await place.stat();
      if (!status.isDirectory() && !status.isFile()) continue;
      // The very thing that was looked at: a place has no attributes of its own.
      const thing = await open(pathOf(place), constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        if (status.isDirectory()) await tagTree(calls, thing, id, depth + 1);
        else calls.setProject(thing.fd, id, false);
      } finally {
        await thing.close();
      }
    } finally {
      await place.close();
    }
  }
  calls.setProject(directory.fd, id, true);
}

async function withDirectory<Result>(
  path: string,
  work: (directory: PathHandle) => Promise<Result> | Result,
): Promise<Result> {
  const directory = await open(path, DIRECTORY_FLAGS);
  try {
    return await work(directory);
  } finally {
    await directory.close();
  }
}
