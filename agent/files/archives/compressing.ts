import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import type { ArchiveFormat, WorkOutput } from '../../../src/protocol/file-works.js';
import { entryOf } from '../descriptors.js';
import { toEntry } from '../entry.js';
import { FileError } from '../errors.js';
import { parseFilePath, parsePath } from '../paths.js';
import { type Claim, ENTRY_BYTES } from '../quota.js';
import { heldBytes } from '../regular.js';
import type { ServerFiles } from '../server-files.js';
import type { WorkCall, WorkRequest } from '../service.js';
import { createTemporary, ignoreMissing, type TemporaryFile } from '../temporary.js';
import type { Place } from '../walk.js';
import { batchGroups } from './bytes.js';
import { compressInto, type Sink } from './compression.js';
import { countBytes } from './counting.js';
import type { PackedEntry } from './entries.js';
import { withParents } from './parents.js';
import { createSink } from './sink.js';
import { writeTar } from './tar/writer.js';
import { readTree } from './tree.js';
import { writeZip } from './zip/writer.js';

const ARCHIVE_MODE = 0o644;

/** One new file with all of it, under its name in one step at the end; or nothing, and no directory on the way to it. */
export async function compressPaths(
  files: ServerFiles,
  request: WorkRequest<'compress'>,
  call: WorkCall,
): Promise<WorkOutput<'compress'>> {
  const paths = withoutCovered(request.paths.map(parsePath));
  const names = parseFilePath(request.to);
  return await withParents(files, names, (place) => packInto(place, { ...request, files, paths, call }));
}

/** What is in a directory that is packed is packed with it, and once. */
function withoutCovered(paths: string[][]): string[][] {
  const keys = new Set(paths.map((names) => names.join('/')));
  const isCovered = (names: string[]) => names.some((_, depth) => keys.has(names.slice(0, depth).join('/')));
  return [...keys].map((key) => (key === '' ? [] : key.split('/'))).filter((names) => !isCovered(names));
}

interface Packing {
  files: ServerFiles;
  paths: string[][];
  format: ArchiveFormat;
  replace: boolean;
  call: WorkCall;
}

async function packInto(place: Place, packing: Packing): Promise<WorkOutput<'compress'>> {
  const { account, owner } = packing.files;
  const replaced = await lookAtOld(place, packing);
  const claim = await account.claim(ENTRY_BYTES);
  let isKept = false;
  try {
    const temporary = await createTemporary(place.parent, owner);
    try {
      claim.wrote(ENTRY_BYTES);
      const entries = await fill(temporary, claim, { ...packing, replaced });
      packing.call.signal.throwIfAborted();
      const old = await lookAtOld(place, packing);
      await temporary.finish(place.name, { mode: ARCHIVE_MODE, replace: packing.replace });
      isKept = true;
      if (old !== null) account.credit(heldBytes(old));
      return { entry: toEntry(place.name, await temporary.handle.stat()), entries };
    } finally {
      await temporary.dispose();
    }
  } finally {
    claim.end(isKept);
  }
}

/** What is under the name of the archive: null if nothing is. @throws FileError when it is not to be replaced. */
async function lookAtOld({ parent, name }: Place, { replace }: Packing): Promise<Stats | null> {
  const old = (await lstat(entryOf(parent, name)).catch(ignoreMissing)) ?? null;
  if (old?.isDirectory()) throw new FileError('file.is_directory', `"${name}" is a directory.`);
  if (old === null || replace) return old;
  throw new FileError(
    'file.exists',
    `There is something called "${name}" already: choose another name or remove it.`,
  );
}

/** @returns How many entries there are in the archive. */
async function fill(
  { handle }: TemporaryFile,
  claim: Claim,
  packing: Packing & { replaced: Stats | null },
): Promise<number> {
  const { files, paths, call, replaced } = packing;
  // Ends with the work, and whatever comes of that: also the counting.
  const over = new AbortController();
  const signal = AbortSignal.any([call.signal, over.signal]);
  const done = { bytes: 0, entries: 0, totalBytes: null as number | null };
  const counting = countBytes(paths, { files, signal }).then((bytes) => {
    done.totalBytes = bytes;
  });
  const report = () =>
    call.report({
      doneBytes: done.bytes,
      totalBytes: done.totalBytes === null ? null : Math.max(done.totalBytes, done.bytes),
      doneEntries: done.entries,
    });
  const entries = counted(readTree(paths, { files, signal, except: replaced }), done, report);
  const sink = createSink(handle, claim);
  try {
    await encode(entries, { sink, format: packing.format, signal });
    return done.entries;
  } finally {
    over.abort();
    await counting;
    await sink.settle();
  }
}

interface Encoding {
  sink: Sink;
  format: ArchiveFormat;
  signal: AbortSignal;
}

async function encode(
  entries: AsyncIterable<PackedEntry>,
  { sink, format, signal }: Encoding,
): Promise<void> {
  const bytes = batchGroups(format === 'zip' ? writeZip(entries, signal) : writeTar(entries));
  if (format === 'tar.gz') return await compressInto(sink, 'gzip', bytes, signal);
  if (format === 'tar.zst') return await compressInto(sink, 'zstd', bytes, signal);
  for await (const pieces of bytes) {
    signal.throwIfAborted();
    await sink.write(pieces);
  }
}

interface Done {
  bytes: number;
  entries: number;
}

async function* counted(
  entries: AsyncIterable<PackedEntry>,
  done: Done,
  report: () => void,
): AsyncGenerator<PackedEntry> {
  async function* countedContent(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of content) {
      yield piece;
      done.bytes += piece.length;
      report();
    }
  }
  for await (const entry of entries) {
    if (Buffer.isBuffer(entry.content)) yield entry;
    else yield { ...entry, content: countedContent(entry.content) };
    if (Buffer.isBuffer(entry.content)) done.bytes += entry.content.length;
    done.entries += 1;
    report();
  }
}
