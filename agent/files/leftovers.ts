import { closeSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs';
import { type FileHandle, lstat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { UUID_PATTERN } from '../runtime/runtime.js';
import { entryOf, openDirectory } from './descriptors.js';
import { namesIn } from './listing.js';
import { DEPTH_MAX } from './paths.js';
import { ignoreMissing, isLeftover } from './temporary.js';

/** Which servers' directories may have half-written files in them if this agent were killed now. */
export interface Leftovers {
  /** Note that something is about to be written there, until it is done. */
  during<Result>(serverUuid: string, work: () => Promise<Result>): Promise<Result>;
  /** Remove what agents before this one have left. A server whose directory cannot be walked is tried again next time. */
  cleanUp(directoryOf: (serverUuid: string) => string | null): Promise<void>;
}

/** @param stateDirectory Has an empty file for each server that is written to: only those are walked after a crash. */
export function createLeftovers(stateDirectory: string, log: Logger): Leftovers {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const writers = new Map<string, number>();
  const markOf = (serverUuid: string) => join(stateDirectory, serverUuid);
  /** Notes of agents before this one stay until they have been seen to. */
  const inherited = new Set(readdirSync(stateDirectory).filter((name) => UUID_PATTERN.test(name)));

  function begin(serverUuid: string) {
    const count = writers.get(serverUuid) ?? 0;
    if (count === 0) closeSync(openSync(markOf(serverUuid), 'a', 0o600));
    writers.set(serverUuid, count + 1);
  }

  function end(serverUuid: string) {
    const count = (writers.get(serverUuid) ?? 1) - 1;
    if (count > 0) return void writers.set(serverUuid, count);
    writers.delete(serverUuid);
    if (!inherited.has(serverUuid)) rmSync(markOf(serverUuid), { force: true });
  }

  return {
    async during(serverUuid, work) {
      begin(serverUuid);
      try {
        return await work();
      } finally {
        end(serverUuid);
      }
    },
    async cleanUp(directoryOf) {
      for (const serverUuid of [...inherited]) {
        const directory = directoryOf(serverUuid);
        try {
          const removed = directory === null ? 0 : await removeLeftovers(directory);
          if (removed > 0)
            log.info({ serverUuid, removed }, 'half-written files of an earlier agent were removed');
          inherited.delete(serverUuid);
          if (!writers.has(serverUuid)) rmSync(markOf(serverUuid), { force: true });
        } catch (error) {
          log.warn({ error, serverUuid }, 'half-written files of an earlier agent may still be there');
        }
      }
    },
  };
}

async function removeLeftovers(directory: string): Promise<number> {
  const root = await openDirectory(directory).catch(ignoreMissing);
  if (!root) return 0;
  try {
    return await removeIn(root, 0);
  } finally {
    await root.close();
  }
}

async function removeIn(directory: FileHandle, depth: number): Promise<number> {
  let removed = 0;
  for await (const name of namesIn(directory)) {
    const at = entryOf(directory, name);
    const status = await lstat(at).catch(ignoreMissing);
    if (status?.isDirectory() && depth < DEPTH_MAX) {
      const child = await openDirectory(at).catch(() => null);
      if (child === null) continue;
      try {
        removed += await removeIn(child, depth + 1);
      } finally {
        await child.close();
      }
    } else if (status?.isFile() && isLeftover(name.toString())) {
      await unlink(at).catch(ignoreMissing);
      removed += 1;
    }
  }
  return removed;
}
