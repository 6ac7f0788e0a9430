import { randomBytes } from 'node:crypto';
import { type FileHandle, rmdir, unlink } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { entryOf, openDirectory } from '../descriptors.js';
import { namesIn } from '../listing.js';
import { ignoreMissing } from '../temporary.js';
import { together } from '../together.js';

const AT_ONCE = 32;
/** A directory to which the game adds something while it is emptied is emptied again, so often. */
const TRIES_MAX = 3;

/** Other than that of any agent before: what has their names is left over. */
const PROCESS = randomBytes(6).toString('hex');
const PATTERN = /^\.catalyst-([0-9a-f]{12})-\d+\.unpacking$/;
let count = 0;

/** Of a directory in which an archive is unpacked, a name that nothing else has. */
export function newStagingName(): string {
  count += 1;
  return `.catalyst-${PROCESS}-${count}.unpacking`;
}

/** Whether it is what an agent before this one was unpacking. */
export function isLeftoverDirectory(name: string): boolean {
  const [, maker] = PATTERN.exec(name) ?? [];
  return maker !== undefined && maker !== PROCESS;
}

/** With everything in it, links themselves and nothing that they lead to. It may be gone already. */
export async function removeTree(parent: FileHandle, name: string | Buffer): Promise<void> {
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

async function removeContent(directory: FileHandle): Promise<void> {
  let names: Buffer[] = [];
  const removeBatch = async () => {
    const found = await together(names.map((name) => removeUnlessDirectory(directory, name)));
    for (const name of found) if (name !== null) await removeTree(directory, name);
    names = [];
  };
  for await (const name of namesIn(directory)) {
    names.push(name);
    if (names.length >= AT_ONCE) await removeBatch();
  }
  await removeBatch();
}

/** @returns Its name if it is a directory, which unlink does not remove. */
async function removeUnlessDirectory(directory: FileHandle, name: Buffer): Promise<Buffer | null> {
  try {
    await unlink(entryOf(directory, name));
  } catch (error) {
    if (isErrorCode(error, 'EISDIR') || isErrorCode(error, 'EPERM')) return name;
    ignoreMissing(error);
  }
  return null;
}
