import { type FileHandle, opendir } from 'node:fs/promises';
import { pathOf } from './descriptors.js';

/** As bytes: a name need not be text. */
export async function* namesIn(directory: FileHandle): AsyncGenerator<Buffer> {
  for await (const { name } of await opendir(pathOf(directory), READ_AS_BYTES)) {
    yield Buffer.isBuffer(name) ? name : Buffer.from(name);
  }
}

/** Node takes any encoding here, but its types know only those of text. */
const READ_AS_BYTES = { encoding: 'buffer' as BufferEncoding, bufferSize: 256 };
