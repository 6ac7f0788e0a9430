import type { FileHandle } from 'node:fs/promises';
import type { PartialUpload } from '../../../src/protocol/data-plane.js';
import { FileError } from '../errors.js';
import type { ServerFiles } from '../server-files.js';
import { removeBytes, type UploadBytes, withBytes } from './bytes.js';
import type { Checksums } from './checksums.js';
import type { Notes, UploadNote } from './notes.js';
import type { UploadLocks, UploadName } from './upload-locks.js';

/** An upload is forgotten when so long no part has come. */
const EXPIRY_MS = 24 * 3600_000;

/** What all of it works with. */
export interface UploadStore {
  filesOf(serverUuid: string): ServerFiles;
  notes: Notes;
  locks: UploadLocks;
  checksums: Checksums;
}

/** What is kept of an upload beside its bytes. */
type Records = Pick<UploadStore, 'notes' | 'checksums'>;

/** As it is now, from its note and what is on the disk. Rejects when there is none (any more). */
export async function look(store: UploadStore, { serverUuid, uploadId }: UploadName): Promise<UploadNote> {
  const { filesOf, notes, locks } = store;
  const files = filesOf(serverUuid);
  const note = await notes.read(serverUuid, uploadId);
  if (note === null) throw notFound();
  const receivedBytes = await withBytes(files, note, ({ file }) => receivedIn(file, note));
  if (receivedBytes !== null) return { ...note, receivedBytes };
  // Whoever is at work on it may just have put it in its place.
  if (!locks.isTaken(uploadId)) await drop(store, files, { serverUuid, uploadId });
  throw notFound();
}

export interface HeldUpload {
  files: ServerFiles;
  note: UploadNote;
  bytes: UploadBytes;
  signal: AbortSignal;
}

/** Nobody else changes it meanwhile. Rejects when it is not there, and then forgets what is left of it. */
export async function holding<Result>(
  store: UploadStore,
  name: UploadName,
  { signal }: { signal: AbortSignal },
  use: (held: HeldUpload) => Promise<Result>,
): Promise<Result> {
  const { filesOf, notes, locks } = store;
  return await locks.take(name, signal, async (ending) => {
    const files = filesOf(name.serverUuid);
    const note = await notes.read(name.serverUuid, name.uploadId);
    if (note === null) throw notFound();
    const outcome = await withBytes(files, note, async (bytes) => ({
      result: await use({ files, note, bytes, signal: ending }),
    }));
    if (outcome !== null) return outcome.result;
    await drop(store, files, name);
    throw notFound();
  });
}

/**
 * What was noted was with the disk by then, so it is there whatever was killed since, the agent or the machine. What the file
 * has beyond that may be whole after the one and nothing but zeros after the other: it does not count, and is sent again. A
 * file that is shorter was cut by somebody else.
 */
export async function receivedIn(file: FileHandle, note: UploadNote): Promise<number> {
  return Math.min(note.receivedBytes, (await file.stat()).size);
}

/** The bytes first: a note without them is seen to by whoever reads it. */
export async function drop(store: Records, files: ServerFiles, upload: UploadName): Promise<void> {
  await removeBytes(files, upload.uploadId);
  await forget(store, upload);
}

/** All but the bytes. */
export async function forget(
  { notes, checksums }: Records,
  { serverUuid, uploadId }: UploadName,
): Promise<void> {
  checksums.forget(uploadId);
  await notes.remove(serverUuid, uploadId);
}

export function nextExpiry(): number {
  return Date.now() + EXPIRY_MS;
}

export function toPartial({
  uploadId,
  path,
  sizeBytes,
  receivedBytes,
  expiresAtMs,
}: UploadNote): PartialUpload {
  return { uploadId, path, sizeBytes, receivedBytes, expiresAtMs };
}

export function notFound(): FileError {
  return new FileError('upload.not_found', 'There is no such upload (any more): begin a new one.');
}
