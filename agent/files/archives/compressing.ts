import type { Stats } from 'node:fs';
import type { ArchiveFormat, WorkOutput } from '../../../src/protocol/file-works.js';
import { lookAtTarget } from '../changing/target.js';
import { createTemporary, type TemporaryFile } from '../changing/temporary.js';
import type { WorkCall, WorkRequest } from '../contract.js';
import { toEntry } from '../listing/entry.js';
import { parseFilePath, parsePath } from '../paths/paths.js';
import { heldBytes } from '../paths/regular.js';
import type { Place } from '../paths/walk.js';
import { type Claim, ENTRY_BYTES } from '../quota/quota.js';
import type { ServerFiles } from '../server-files.js';
import { batchGroups } from './bytes.js';
import { type Compression, compressInto, type Packed, type Sink } from './compression.js';
import { packTar, packZip } from './packing.js';
import { withParents } from './parents.js';
import type { Done } from './reader/messages.js';
import { createSink } from './sink.js';

const ARCHIVE_MODE = 0o644;
const COMPRESSIONS: Record<ArchiveFormat, Compression | null> = {
  tar: null,
  'tar.gz': 'gzip',
  'tar.zst': 'zstd',
  zip: null,
};

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
  const { account, owner, pending } = packing.files;
  const target = { replace: packing.replace, pending };
  const replaced = await lookAtTarget(place, target);
  const claim = await account.claim(ENTRY_BYTES);
  let isKept = false;
  try {
    const temporary = await createTemporary(place.parent, owner);
    try {
      claim.wrote(ENTRY_BYTES);
      const entries = await fill(temporary, claim, { ...packing, replaced });
      packing.call.signal.throwIfAborted();
      const old = await lookAtTarget(place, target);
      await temporary.finish(place.name, { mode: ARCHIVE_MODE, replace: packing.replace });
      isKept = true;
      await pending.hide(place);
      if (old !== null) account.credit(heldBytes(old));
      return { entry: toEntry(place.name, await temporary.handle.stat()), entries };
    } finally {
      await temporary.dispose();
    }
  } finally {
    claim.end(isKept);
  }
}

/** @returns How many entries there are in the archive. */
async function fill(
  { handle }: TemporaryFile,
  claim: Claim,
  { files, paths, call, format, replaced }: Packing & { replaced: Stats | null },
): Promise<number> {
  let doneEntries = 0;
  const report = (done: Done) => {
    doneEntries = done.entries;
    const totalBytes = done.totalBytes === null ? null : Math.max(done.totalBytes, done.bytes);
    call.report({ doneBytes: done.bytes, totalBytes, doneEntries });
  };
  const options = { files, signal: call.signal, except: replaced, report };
  const sink = createSink(handle, claim);
  try {
    const compression = COMPRESSIONS[format];
    const tar = (output: number | null) => packTar(paths, options, output);
    if (compression !== null) await compressInto(sink, compression, tar, call.signal);
    else await writeInto(sink, format === 'zip' ? packZip(paths, options) : tar(null), call.signal);
    return doneEntries;
  } finally {
    await sink.settle();
  }
}

async function writeInto(sink: Sink, { groups, close }: Packed, signal: AbortSignal): Promise<void> {
  try {
    for await (const pieces of batchGroups(groups)) {
      signal.throwIfAborted();
      await sink.write(pieces);
    }
  } finally {
    await close();
  }
}
