import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { WorkOutput } from '../../../src/protocol/file-works.js';
import { isErrorCode } from '../../atomic-file.js';
import type { WorkCall, WorkRequest } from '../contract.js';
import { FileError } from '../errors.js';
import type { PathHandle } from '../paths/descriptors.js';
import { parseFilePath, parsePath } from '../paths/paths.js';
import { openRegular } from '../paths/regular.js';
import { type Root, walkToThing } from '../paths/walk.js';
import { type Claim, ENTRY_BYTES } from '../quota/quota.js';
import type { ServerFiles } from '../server-files.js';
import { type Admitted, createAdmission } from './admission.js';
import { createByteReader } from './bytes.js';
import { decompress } from './decompression.js';
import { type ArchiveKind, detectKind } from './detection.js';
import type { FoundEntry } from './entries.js';
import { mergeInto } from './merging.js';
import { createStaging, type Staging } from './staging.js';
import { readTar } from './tar/reader.js';
import { openZip } from './zip/reader.js';

/**
 * Unpacks beside what is there, and puts it in its place when all of it has proved to be good. Until then nothing is under
 * any name that the server could see, and what there is of it goes again when it fails or is cancelled.
 */
export async function extractArchive(
  files: ServerFiles,
  request: WorkRequest<'extract'>,
  call: WorkCall,
): Promise<WorkOutput<'extract'>> {
  const archive = await openArchive(files, request.path);
  try {
    const names = parsePath(request.to);
    const base = await openBase(files.root, names);
    try {
      return await extractInto(base, { archive, files, call, names });
    } finally {
      await base.directory.close();
    }
  } finally {
    await archive.close();
  }
}

async function openArchive({ root, owner }: ServerFiles, path: string): Promise<FileHandle> {
  const place = await walkToThing(root, parseFilePath(path), true);
  try {
    return await openRegular(place, constants.O_RDONLY, owner);
  } finally {
    await place.close();
  }
}

interface Base {
  directory: PathHandle;
  /** What is yet to be made in it. */
  missing: Buffer[];
}

/** As far as the way is there: the rest is made together with what is unpacked, so that it is not left when that fails. */
async function openBase(root: Root, names: string[]): Promise<Base> {
  for (let depth = names.length; ; depth -= 1) {
    const thing = await walkToThing(root, names.slice(0, depth), true).catch((error: unknown) => {
      if (depth > 0 && isMissing(error)) return null;
      throw error;
    });
    if (thing === null) continue;
    try {
      if (!(await thing.stat()).isDirectory()) {
        throw new FileError(
          'file.not_directory',
          `"/${names.slice(0, depth).join('/')}" is not a directory.`,
        );
      }
      return { directory: thing, missing: names.slice(depth).map((name) => Buffer.from(name)) };
    } catch (error) {
      await thing.close();
      throw error;
    }
  }
}

function isMissing(error: unknown): boolean {
  return isErrorCode(error, 'ENOENT') || (error instanceof FileError && error.code === 'file.not_found');
}

interface Extraction {
  archive: FileHandle;
  files: ServerFiles;
  call: WorkCall;
  names: string[];
}

async function extractInto(base: Base, extraction: Extraction): Promise<WorkOutput<'extract'>> {
  const { files, call } = extraction;
  const { account, owner } = files;
  const claim = await account.claim(base.missing.length * ENTRY_BYTES);
  const progress: Progress = { entries: 0, bytes: 0, totalBytes: null };
  const onWritten = (bytes: number) => {
    claim.wrote(bytes);
    progress.bytes += bytes;
    const { entries, totalBytes } = progress;
    call.report({ doneBytes: progress.bytes, totalBytes, doneEntries: entries });
  };
  let isKept = false;
  try {
    const staging = await createStaging(base.directory, { owner, signal: call.signal, onWritten });
    try {
      if (base.missing.length > 0) {
        await staging.addDirectory(base.missing, { mode: 0o755, modifiedAtMs: null });
        claim.wrote(base.missing.length * ENTRY_BYTES);
      }
      await unpack(staging, base.missing, { ...extraction, claim, progress });
      call.signal.throwIfAborted();
      // What follows takes a moment, and is not stopped half-way.
      await mergeInto(base.directory, staging.root, files);
      isKept = true;
      return { entries: progress.entries, bytes: progress.bytes };
    } finally {
      await staging.remove();
    }
  } finally {
    claim.end(isKept);
  }
}

interface Progress {
  entries: number;
  bytes: number;
  totalBytes: number | null;
}

async function unpack(
  staging: Staging,
  leading: Buffer[],
  { archive, call, names, claim, progress }: Extraction & { claim: Claim; progress: Progress },
): Promise<void> {
  const { signal } = call;
  const { size } = await archive.stat();
  try {
    const kind = await detectKind(archive);
    const admit = createAdmission({
      depth: names.length,
      archiveBytes: size,
      isFromAnySystem: kind === 'zip',
    });
    const { entries, totalBytes } = await openEntries(archive, { kind, size, signal, staging });
    progress.totalBytes = totalBytes;
    for await (const entry of entries) {
      signal.throwIfAborted();
      const admitted = admit(entry);
      if (admitted === null) continue;
      await claim.grow(ENTRY_BYTES + admitted.sizeBytes);
      claim.wrote(ENTRY_BYTES);
      const parts = [...leading, ...admitted.parts];
      await addTo(staging, { ...admitted, parts, original: [...leading, ...admitted.original] });
      progress.entries += 1;
    }
    await staging.finish();
  } catch (error) {
    // What was cut off by us is not the archive's fault.
    signal.throwIfAborted();
    throw error;
  }
}

async function openEntries(
  archive: FileHandle,
  { kind, size, signal, staging }: { kind: ArchiveKind; size: number; signal: AbortSignal; staging: Staging },
): Promise<{ entries: AsyncGenerator<FoundEntry>; totalBytes: number | null }> {
  if (kind === 'zip') return await openZip(archive, size, signal);
  const content =
    kind === 'tar'
      ? staging.readFile(archive.fd, size)
      : await decompress(kind, archive, { signal, readPipe: staging.readPipe });
  return { entries: readTarFrom(content), totalBytes: null };
}

/** Whoever stops reading entries stops what they are read from, and waits for it. */
async function* readTarFrom(content: AsyncGenerator<Buffer>): AsyncGenerator<FoundEntry> {
  try {
    yield* readTar(createByteReader(content));
  } finally {
    await content.return(undefined);
  }
}

async function addTo(staging: Staging, entry: Admitted): Promise<void> {
  const { parts, kind, content } = entry;
  if (kind === 'directory') return await staging.addDirectory(parts, entry);
  if (kind === 'link') return staging.addLink(parts, entry.target);
  if (kind === 'copy') return await staging.addCopy(parts, entry.original, entry);
  await staging.addFile(parts, content, entry);
}
