import { closeSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { UUID_PATTERN } from '../../runtime/runtime.js';
import { removeTree } from '../archives/tree-removal.js';
import { namesIn } from '../listing/listing.js';
import { entryOf, openDirectory, type PathHandle } from '../paths/descriptors.js';
import { isLeftover } from '../paths/own-names.js';
import { DEPTH_MAX } from '../paths/paths.js';
import { ignoreMissing } from './temporary.js';

/** Which servers' directories may have half-written files in them if this agent were killed now. */
export interface Leftovers {
  /** Note that something is about to be written there. To be called when it is done: what it gives, once. */
  begin(serverUuid: string): () => void;
  /** The same until the work is done. */
  during<Result>(serverUuid: string, work: () => Promise<Result>): Promise<Result>;
  /** Remove what agents before this one have left. A server whose directory cannot be walked is tried again next time. */
  cleanUp(directoryOf: (serverUuid: string) => string | null): Promise<void>;
  /** Forget where nothing is being written any more. */
  close(): void;
}

/** A note stays so long after what it was for: many small files in a row are worth one, not one each. */
const LINGER_MS = 10_000;

/** @param stateDirectory Has an empty file for each server that is written to: only those are walked after a crash. */
export function createLeftovers(stateDirectory: string, log: Logger): Leftovers {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const writers = new Map<string, number>();
  const lingering = new Map<string, NodeJS.Timeout>();
  const markOf = (serverUuid: string) => join(stateDirectory, serverUuid);
  /** Notes of agents before this one stay until they have been seen to. */
  const inherited = new Set(readdirSync(stateDirectory).filter((name) => UUID_PATTERN.test(name)));

  function begin(serverUuid: string): () => void {
    const count = writers.get(serverUuid) ?? 0;
    if (count === 0 && !stopLingering(serverUuid)) closeSync(openSync(markOf(serverUuid), 'a', 0o600));
    writers.set(serverUuid, count + 1);
    return () => end(serverUuid);
  }

  function end(serverUuid: string) {
    const count = (writers.get(serverUuid) ?? 1) - 1;
    if (count > 0) return void writers.set(serverUuid, count);
    writers.delete(serverUuid);
    lingering.set(serverUuid, setTimeout(() => forget(serverUuid), LINGER_MS).unref());
  }

  /** Whether its note is still there from before. */
  function stopLingering(serverUuid: string): boolean {
    clearTimeout(lingering.get(serverUuid));
    return lingering.delete(serverUuid);
  }

  function forget(serverUuid: string) {
    stopLingering(serverUuid);
    if (inherited.has(serverUuid)) return;
    try {
      rmSync(markOf(serverUuid), { force: true });
    } catch (error) {
      // A note too many costs the next agent a walk; here nobody would hear of the error, which would end this one.
      log.warn({ error, serverUuid }, 'a note of half-written files could not be removed');
    }
  }

  return {
    begin,
    async during(serverUuid, work) {
      const done = begin(serverUuid);
      try {
        return await work();
      } finally {
        done();
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
          if (!writers.has(serverUuid)) forget(serverUuid);
        } catch (error) {
          log.warn({ error, serverUuid }, 'half-written files of an earlier agent may still be there');
        }
      }
    },
    close() {
      for (const serverUuid of [...lingering.keys()]) forget(serverUuid);
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

async function removeIn(directory: PathHandle, depth: number): Promise<number> {
  let removed = 0;
  for await (const name of namesIn(directory)) {
    const at = entryOf(directory, name);
    const status = await lstat(at).catch(ignoreMissing);
    if (status?.isDirectory() && isLeftover(name.toString(), 'unpacking')) {
      await removeTree(directory, name);
      removed += 1;
    } else if (status?.isDirectory() && depth < DEPTH_MAX) {
      const child = await openDirectory(at).catch(() => null);
      if (child === null) continue;
      try {
        removed += await removeIn(child, depth + 1);
      } finally {
        await child.close();
      }
    } else if (status?.isFile() && isLeftover(name.toString(), 'part')) {
      await unlink(at).catch(ignoreMissing);
      removed += 1;
    }
  }
  return removed;
}
