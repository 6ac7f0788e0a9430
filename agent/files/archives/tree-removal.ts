import { rmdir, unlink } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { ignoreMissing } from '../changing/temporary.js';
import { batchesIn } from '../listing/listing.js';
import { entryOf, openDirectory, type PathHandle } from '../paths/descriptors.js';
import { together } from '../together.js';

const AT_ONCE = 32;
/** A directory to which the game adds something while it is emptied is emptied again, so often. */
const TRIES_MAX = 3;

/** With everything in it, links themselves and nothing that they lead to. It may be gone already. */
export async function removeTree(parent: PathHandle, name: string | Buffer): Promise<void> {
  const at = entryOf(parent, name);
  for (let tries = 1; ; tries += 1) {
    const directory = await openDirectory(at).catch(ignoreMissing);
    if (!directory) return;
    try {
      await removeContent(directory);
    } finally {
      await directory.close();
    }
    try {
      return await rmdir(at);
    } catch (error) {
      if (isErrorCode(error, 'ENOENT')) return;
      if (tries === TRIES_MAX || !isErrorCode(error, 'ENOTEMPTY')) throw error;
    }
  }
}

async function removeContent(directory: PathHandle): Promise<void> {
  for await (const names of batchesIn(directory, AT_ONCE)) {
    const found = await together(names.map((name) => removeUnlessDirectory(directory, name)));
    for (const name of found) if (name !== null) await removeTree(directory, name);
  }
}

/** @returns Its name if it is a directory, which unlink does not remove. */
async function removeUnlessDirectory(directory: PathHandle, name: Buffer): Promise<Buffer | null> {
  try {
    await unlink(entryOf(directory, name));
  } catch (error) {
    if (isErrorCode(error, 'EISDIR') || isErrorCode(error, 'EPERM')) return name;
    ignoreMissing(error);
  }
  return null;
}
