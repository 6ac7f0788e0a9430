import { chmod, chown, mkdir, utimes } from 'node:fs/promises';
import type { Owner } from '../owner.js';
import { entryOf, openDirectory, type PathHandle, pathOf } from '../paths/descriptors.js';

export const DIRECTORIES_OPEN_MAX = 128;
/** Half of the times that the file systems of today can keep are far enough away. */
const TIME_MAX_SECONDS = 8_640_000_000;

export interface Attributes {
  mode: number;
  modifiedAtMs: number | null;
}

interface KnownDirectory extends Attributes {
  parts: Buffer[];
  handle: PathHandle | null;
}

/** Those that have been made in the staging directory, some of them open. */
export function openDirectories(root: PathHandle) {
  const known = new Map<string, KnownDirectory>();
  let openCount = 0;
  const keyOf = (parts: Buffer[]) => Buffer.concat(parts.flatMap((part) => [part, SLASH])).toString('latin1');

  async function openNext(parent: PathHandle, parts: Buffer[]): Promise<PathHandle> {
    const key = keyOf(parts);
    const before = known.get(key);
    if (before?.handle) return before.handle;
    const at = entryOf(parent, nameOf(parts));
    if (before === undefined) await mkdir(at, 0o700);
    const handle = await openDirectory(at);
    openCount += 1;
    if (before !== undefined) before.handle = handle;
    else known.set(key, { parts, handle, mode: DIRECTORY_MODE, modifiedAtMs: null });
    return handle;
  }

  async function openParts(parts: Buffer[]): Promise<PathHandle> {
    const direct = known.get(keyOf(parts))?.handle;
    if (direct) return direct;
    let directory = root;
    for (let depth = 1; depth <= parts.length; depth += 1) {
      directory = await openNext(directory, parts.slice(0, depth));
    }
    return directory;
  }

  async function closeAll() {
    for (const directory of known.values()) {
      const { handle } = directory;
      directory.handle = null;
      await handle?.close();
    }
    openCount = 0;
  }

  return {
    open: openParts,
    openCount: () => openCount,
    closeAll,
    describe(parts: Buffer[], { mode, modifiedAtMs }: Attributes) {
      const directory = known.get(keyOf(parts));
      if (directory !== undefined) Object.assign(directory, { mode, modifiedAtMs });
    },
    async finish(owner: Owner | null) {
      for (const { parts, mode, modifiedAtMs } of known.values()) {
        if (openCount >= DIRECTORIES_OPEN_MAX) await closeAll();
        const path = pathOf(await openParts(parts));
        if (owner !== null) await chown(path, owner.uid, owner.gid);
        await chmod(path, mode);
        const seconds = secondsOf(modifiedAtMs);
        if (seconds !== null) await utimes(path, seconds, seconds);
      }
    },
  };
}

const DIRECTORY_MODE = 0o755;
const SLASH = Buffer.from('/');

export function nameOf(parts: Buffer[]): Buffer {
  return parts.at(-1) ?? Buffer.alloc(0);
}

export function secondsOf(timeMs: number | null): number | null {
  if (timeMs === null || !Number.isFinite(timeMs)) return null;
  return Math.min(Math.max(timeMs / 1000, -TIME_MAX_SECONDS), TIME_MAX_SECONDS);
}
