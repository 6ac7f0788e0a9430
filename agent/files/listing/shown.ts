import { isUtf8 } from 'node:buffer';
import { isErrorCode } from '../../atomic-file.js';
import type { PendingFiles } from '../handles/pending.js';
import { entryOf, type PathHandle } from '../paths/descriptors.js';
import { isOwnName } from '../paths/own-names.js';
import { namesIn } from './listing.js';

/** Something in a directory, as users know it. */
export interface Shown {
  name: Buffer;
  /** Under which it is now. Of what is pending that is its temporary, until that gets the name. */
  entry: Buffer;
}

/** In no order, without what is not finished, but with what is pending, under the name that it will get. */
export async function* shownIn(directory: PathHandle, pending: PendingFiles): AsyncGenerator<Shown> {
  const coming = await pending.namesIn(directory);
  for (const [name, temporaryName] of coming) {
    yield { name: Buffer.from(name), entry: Buffer.from(temporaryName) };
  }
  for await (const name of namesIn(directory)) {
    const text = name.toString();
    if (isUtf8(name) && coming.has(text)) continue;
    if (isOwnName(text)) continue;
    yield { name, entry: name };
  }
}

/** Null: it is not there any more. */
export async function lookAt<Found>(
  directory: PathHandle,
  { name, entry }: Shown,
  look: (at: Buffer) => Promise<Found>,
): Promise<Found | null> {
  for (const current of [entry, name]) {
    try {
      return await look(entryOf(directory, current));
    } catch (error) {
      if (!isErrorCode(error, 'ENOENT')) throw error;
    }
  }
  return null;
}
