import { lstat, unlink } from 'node:fs/promises';
import { ignoreMissing } from '../changing/temporary.js';
import { namesIn } from '../listing/listing.js';
import { entryOf, openDirectory } from '../paths/descriptors.js';
import { isWaitingName } from '../paths/own-names.js';
import { heldBytes } from '../paths/regular.js';
import type { ServerFiles } from '../server-files.js';

/** Longer than any request to a panel lasts: whoever wanted the file under another name is gone. */
const FORGOTTEN_AFTER_MS = 2 * 3600_000;

/** Removes files that waited for a panel to say where they belong, and it was killed. @returns How many there were. */
export async function removeForgotten({ root, account }: ServerFiles): Promise<number> {
  const directory = await openDirectory(root.path).catch(ignoreMissing);
  if (!directory) return 0;
  let removed = 0;
  try {
    for await (const name of namesIn(directory)) {
      if (!isWaitingName(name.toString())) continue;
      const at = entryOf(directory, name);
      const status = await lstat(at).catch(ignoreMissing);
      if (!status?.isFile() || Date.now() - status.mtimeMs < FORGOTTEN_AFTER_MS) continue;
      await unlink(at).catch(ignoreMissing);
      account.credit(heldBytes(status));
      removed += 1;
    }
  } finally {
    await directory.close();
  }
  return removed;
}
