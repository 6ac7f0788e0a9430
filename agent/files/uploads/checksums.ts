import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { stopped } from '../errors.js';
import { versionOf } from '../handles/pending.js';
import { pathOf } from '../paths/descriptors.js';
import type { UploadName } from './upload-locks.js';

const CHUNK_BYTES = 1024 * 1024;

/**
 * SHA-256 of uploads, in lower-case hexadecimal digits. That of a large file takes longer than a call may: it goes on when
 * its caller has gone, and who asks again gets what came of it.
 */
export interface Checksums {
  /** One at a time asks for the same upload. Rejects when the signal is aborted; only `forget` and `endWhere` stop the reading. */
  of(upload: UploadName, file: FileHandle, signal: AbortSignal): Promise<string>;
  /** The upload is over. */
  forget(uploadId: string): void;
  /** Until none of them is read any more. */
  endWhere(matches: (upload: UploadName) => boolean): Promise<void>;
}

interface Checksum extends UploadName {
  /** Of the file, when its reading began. */
  version: string | null;
  digest: Promise<string>;
  ending: AbortController;
}

export function createChecksums(): Checksums {
  const checksums = new Map<string, Checksum>();

  function forget(uploadId: string) {
    checksums.get(uploadId)?.ending.abort();
    checksums.delete(uploadId);
  }

  async function begin(upload: UploadName, file: FileHandle, version: string | null): Promise<Checksum> {
    // Of its own: the caller's is closed when he goes.
    const own = await open(pathOf(file), constants.O_RDONLY);
    const ending = new AbortController();
    const checksum = { ...upload, version, digest: digestOf(own, ending.signal), ending };
    checksums.set(upload.uploadId, checksum);
    checksum.digest.catch(() => {
      if (checksums.get(upload.uploadId) === checksum) checksums.delete(upload.uploadId);
    });
    return checksum;
  }

  return {
    forget,
    async of(upload, file, signal) {
      const version = versionOf(await file.stat({ bigint: true }));
      let checksum = checksums.get(upload.uploadId);
      if (checksum?.version !== version) {
        forget(upload.uploadId);
        checksum = await begin(upload, file, version);
      }
      return await unlessAborted(checksum.digest, signal);
    },
    async endWhere(matches) {
      const ended = [...checksums.values()].filter(matches);
      for (const { uploadId } of ended) forget(uploadId);
      await Promise.allSettled(ended.map(({ digest }) => digest));
    },
  };
}

/** Closes the file. */
async function digestOf(file: FileHandle, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  try {
    for (let position = 0; ; ) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
      if (signal.aborted) throw stopped(signal);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(chunk.subarray(0, bytesRead));
      position += bytesRead;
    }
  } finally {
    await file.close();
  }
}

async function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  if (signal.aborted) throw stopped(signal);
  let stop = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(stopped(signal));
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
