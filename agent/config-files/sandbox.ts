import { constants } from 'node:fs';
import { chown, type FileHandle, mkdir, open, rename, unlink } from 'node:fs/promises';
import { isErrorCode } from '../atomic-file.js';
import type { Owner } from '../files/owner.js';
import {
  entryOf,
  isRemoved,
  openDirectory,
  openPlace,
  type PathHandle,
  pathOf,
} from '../files/paths/descriptors.js';

/** A path that leads out of the directory or to something other than an ordinary file; the message is for users. */
export class SandboxError extends Error {
  override name = 'SandboxError';
}

export interface SandboxFile {
  content: Buffer;
  /** Permission bits, without set-user-id and the like. */
  mode: number;
}

/**
 * The configuration files of a server, for the process that sets values in them. Their directory belongs to the game, which
 * may put a link or a device in any place at any time, also between a look and the use of what was seen. So each component
 * is opened in the one before, never a whole path. Unlike what users do with files, which may follow a link to another
 * place of the server, links are refused everywhere: nobody is there to see where a value went. Linux only.
 */
export interface Sandbox {
  /** Null: there is no such file. Rejects with a SandboxError when it is larger than `maxBytes`. */
  read(path: string, maxBytes: number): Promise<SandboxFile | null>;
  /** Put this in the place of the file in one step, and make the directories on the way. */
  replace(path: string, file: SandboxFile): Promise<void>;
}

const COMPONENTS_MAX = 32;
const DIRECTORY_MODE = 0o755;
const PERMISSION_BITS = 0o777;

/** @param owner Who new files and directories belong to; null: whoever this process is. */
export function createSandbox(directory: string, owner: Owner | null): Sandbox {
  return {
    async read(path, maxBytes) {
      const place = await walk(directory, path, null).catch(nullIfMissing);
      if (place === null) return null;
      try {
        return await readRegular(entryOf(place.parent, place.name), maxBytes);
      } finally {
        await place.parent.close();
      }
    },
    async replace(path, file) {
      const { parent, name } = await walk(directory, path, (at) => makeDirectory(at, owner));
      try {
        await replaceEntry(parent, name, file, owner);
      } finally {
        await parent.close();
      }
    },
  };
}

/** The components of a path as users write it: a leading slash means the server's directory. */
function componentsOf(path: string): string[] {
  const components = path.split('/').filter((component) => component !== '' && component !== '.');
  if (components.includes('..')) throw new SandboxError('the path leads out of the directory of the server');
  if (path.includes('\0') || path.endsWith('/') || components.length === 0) {
    throw new SandboxError('this is not the path of a file');
  }
  if (components.length > COMPONENTS_MAX) throw new SandboxError('the path is too deep');
  return components;
}

async function walk(root: string, path: string, make: ((at: Buffer) => Promise<void>) | null) {
  const components = componentsOf(path);
  const name = components.pop() ?? '';
  let parent = await openDirectory(root);
  for (const component of components) {
    const at = entryOf(parent, component);
    try {
      await make?.(at);
      const next = await openDirectory(at);
      await parent.close();
      parent = next;
    } catch (error) {
      await parent.close();
      if (isErrorCode(error, 'ENOTDIR') || isErrorCode(error, 'ELOOP')) {
        throw new SandboxError(`"${component}" is a link or otherwise no directory`);
      }
      throw error;
    }
  }
  return { parent, name };
}

async function makeDirectory(at: Buffer, owner: Owner | null): Promise<void> {
  try {
    await mkdir(at, DIRECTORY_MODE);
  } catch (error) {
    if (isErrorCode(error, 'EEXIST')) return;
    throw error;
  }
  if (owner === null) return;
  const made = await openDirectory(at);
  try {
    await chown(pathOf(made), owner.uid, owner.gid);
  } finally {
    await made.close();
  }
}

async function readRegular(at: Buffer, maxBytes: number): Promise<SandboxFile | null> {
  const place = await openPlace(at).catch(nullIfMissing);
  if (place === null) return null;
  try {
    const status = await place.stat();
    const { nlink, size, mode } = status;
    if (!status.isFile()) throw new SandboxError('it is a link or otherwise no ordinary file');
    // It may be somebody else's file, whose content would become the game's.
    if (nlink !== 1 || isRemoved(place.fd)) throw new SandboxError('it has a second name (a hard link)');
    if (size > maxBytes) throw tooLarge(maxBytes);
    // The very file that was looked at, not what may have its name by now.
    const file = await open(pathOf(place), constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      return { content: await readBounded(file, maxBytes), mode: mode & PERMISSION_BITS };
    } finally {
      await file.close();
    }
  } finally {
    await place.close();
  }
}

/** The size that was seen before may not be the size that is read. */
async function readBounded(file: FileHandle, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of file.createReadStream({ end: maxBytes, autoClose: false })) {
    chunks.push(chunk);
    sizeBytes += chunk.length;
  }
  if (sizeBytes > maxBytes) throw tooLarge(maxBytes);
  return Buffer.concat(chunks);
}

async function replaceEntry(parent: PathHandle, name: string, file: SandboxFile, owner: Owner | null) {
  // Always the same name: what was left by an agent that was killed here is written over.
  const temporaryPath = entryOf(parent, `.${name}.catalyst`);
  await unlink(temporaryPath).catch(nullIfMissing);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const handle = await open(temporaryPath, flags, 0o600);
  try {
    try {
      await handle.writeFile(file.content);
      if (owner !== null) await handle.chown(owner.uid, owner.gid);
      await handle.chmod(file.mode & PERMISSION_BITS);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporaryPath, entryOf(parent, name));
  } catch (error) {
    await unlink(temporaryPath).catch(nullIfMissing);
    throw error;
  }
}

function tooLarge(maxBytes: number): SandboxError {
  return new SandboxError(`it is larger than ${maxBytes / 1024 / 1024} MB`);
}

function nullIfMissing(error: unknown): null {
  if (isErrorCode(error, 'ENOENT')) return null;
  throw error;
}
