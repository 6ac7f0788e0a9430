import type { Dir } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { type PathHandle, pathOf } from '../paths/descriptors.js';

/** As bytes: a name need not be text. */
export async function* namesIn(directory: PathHandle): AsyncGenerator<Buffer> {
  for await (const { name } of await openForListing(directory)) yield bytesOf(name);
}

/** The same, so many at once. */
export async function* batchesIn(directory: PathHandle, size: number): AsyncGenerator<Buffer[]> {
  let batch: Buffer[] = [];
  for await (const name of namesIn(directory)) {
    batch.push(name);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** For who also wants to know the kinds of things. Names are to be taken by `bytesOf`. */
export async function openForListing(directory: PathHandle): Promise<Dir> {
  return await opendir(pathOf(directory), READ_AS_BYTES);
}

/** Of what `openForListing` gives: Node's types say that it is text. */
export function bytesOf(name: string | Buffer): Buffer {
  return Buffer.isBuffer(name) ? name : Buffer.from(name);
}

/** Node takes any encoding here, but its types know only those of text. */
const READ_AS_BYTES = { encoding: 'buffer' as BufferEncoding, bufferSize: 256 };
