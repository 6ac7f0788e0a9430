import { type ByteReader, createByteReader } from './bytes.js';
import { type Packed, TakerGone } from './compression.js';
import type { PackedEntry } from './entries.js';
import type { Done, Item } from './reader/messages.js';
import { type Reader, startReader } from './reader/reader.js';
import { paddingOf } from './tar/header.js';
import { END_OF_TAR, headersOf } from './tar/writer.js';
import { type FoundEntry, readTree, type TreeOptions } from './tree.js';
import { writeZip } from './zip/writer.js';

/** Larger ones are packed piece by piece. */
const WHOLE_MAX_BYTES = 512 * 1024;

export interface PackingOptions extends Omit<TreeOptions, 'reader'> {
  /** As often as there is something new. */
  report(done: Done): void;
}

/**
 * The bytes of a tar archive.
 * @param output A pipe that all of it goes to: then the groups say only when there is more.
 */
export function packTar(paths: string[][], options: PackingOptions, output: number | null): Packed {
  const reader = startReader(output);
  const telling = tellAll(reader, paths, options);
  async function* groups(): AsyncGenerator<Buffer[]> {
    for await (const block of reported(reader, options)) yield [block];
    if (!reader.isWhole()) throw new TakerGone();
  }
  return {
    groups: groups(),
    async close() {
      await reader.close();
      await telling;
    },
  };
}

async function* reported(reader: Reader, { report }: PackingOptions): AsyncGenerator<Buffer> {
  for await (const block of reader.blocks()) {
    report(reader.done());
    yield block;
  }
  report(reader.done());
}

/** What goes wrong with it is told where the blocks are taken. */
async function tellAll(reader: Reader, paths: string[][], options: PackingOptions): Promise<void> {
  try {
    for await (const entries of readTree(paths, { ...options, reader })) {
      const heads = entries.map((entry) => Buffer.concat(headersOf(entry)));
      const items = entries.map((entry, index) =>
        itemOf(entry, { headBytes: heads[index]?.length ?? 0, zeroBytes: paddingOf(entry.sizeBytes) }),
      );
      reader.copy(items, heads);
    }
    reader.copy([], [END_OF_TAR]);
    reader.end();
  } catch (error) {
    reader.fail(error);
  }
}

/** The bytes of a zip archive. */
export function packZip(paths: string[][], options: PackingOptions): Packed {
  const reader = startReader(null);
  const content = createByteReader(reported(reader, options));
  async function* groups(): AsyncGenerator<Buffer[]> {
    yield* writeZip(withContent(reader, content, readTree(paths, { ...options, reader })), options.signal);
    reader.end();
    // Nothing, but the end is told.
    await content.takeSome(1);
  }
  return { groups: groups(), close: reader.close };
}

async function* withContent(
  reader: Reader,
  content: ByteReader,
  tree: AsyncIterable<FoundEntry[]>,
): AsyncGenerator<PackedEntry> {
  for await (const entries of tree) {
    const items = entries.map((entry) => itemOf(entry, { headBytes: 0, zeroBytes: 0 }));
    reader.copy(items, [], { isFlushed: true });
    for (const { place: _, ...entry } of entries) {
      const isWhole = entry.sizeBytes <= WHOLE_MAX_BYTES;
      yield {
        ...entry,
        content: isWhole ? await takeAll(content, entry.sizeBytes) : pieces(content, entry.sizeBytes),
      };
    }
  }
}

async function takeAll(content: ByteReader, bytes: number): Promise<Buffer> {
  return (bytes === 0 ? null : await content.take(bytes)) ?? Buffer.alloc(0);
}

async function* pieces(content: ByteReader, sizeBytes: number): AsyncGenerator<Buffer> {
  for (let missing = sizeBytes; missing > 0; ) {
    const piece = await content.takeSome(missing);
    if (piece === null) return;
    missing -= piece.length;
    yield piece;
  }
}

function itemOf({ place, sizeBytes, name }: FoundEntry, around: Pick<Item, 'headBytes' | 'zeroBytes'>): Item {
  return { ...around, place, sizeBytes, path: name.toString('latin1') };
}
