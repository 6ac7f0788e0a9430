import { rmdir } from 'node:fs/promises';
import { isErrorCode } from '../../atomic-file.js';
import { makeDirectory } from '../changing/making.js';
import { entryOf, openDirectory, type PathHandle, pathOf } from '../paths/descriptors.js';
import { type Place, walkToParent, withPlace } from '../paths/walk.js';
import { ENTRY_BYTES } from '../quota/quota.js';
import type { ServerFiles } from '../server-files.js';

interface Made {
  parent: PathHandle;
  name: string;
}

/** Makes the directories on the way, and when the work fails takes those back that it has made and that are empty. */
export async function withParents<Result>(
  files: ServerFiles,
  names: string[],
  work: (place: Place) => Promise<Result>,
): Promise<Result> {
  const made: Made[] = [];
  async function make(parent: PathHandle, name: string): Promise<void> {
    try {
      await (await makeDirectory(parent, name, files)).close();
    } catch (error) {
      if (isErrorCode(error, 'EEXIST')) return;
      throw error;
    }
    made.push({ parent: await openDirectory(`${pathOf(parent)}/.`), name });
  }
  try {
    return await withPlace(walkToParent(files.root, names, make), work);
  } catch (error) {
    for (const { parent, name } of made.toReversed()) {
      const isGone = await rmdir(entryOf(parent, name)).then(
        () => true,
        // Somebody uses it by now.
        () => false,
      );
      if (isGone) files.account.credit(ENTRY_BYTES);
    }
    throw error;
  } finally {
    for (const { parent } of made) await parent.close();
  }
}
