import type { FileHandle } from 'node:fs/promises';
import type { Claim } from '../quota/quota.js';
import { lengthOf } from './bytes.js';
import type { Sink } from './compression.js';
import { statusOf, writePieces } from './quick-files.js';

/** So that little is left to be written to the disk at the end. */
const SYNC_EVERY_BYTES = 32 * 1024 * 1024;

/** What becomes of a new archive, as far as the server may have so much. */
export function createSink(file: FileHandle, claim: Claim): Sink & { settle(): Promise<void> } {
  let [sizeBytes, unsyncedBytes]: [number, number] = [0, 0];
  let syncing: Promise<void> | null = null;

  function grow(bytes: number) {
    claim.wrote(bytes);
    sizeBytes += bytes;
    unsyncedBytes += bytes;
    if (unsyncedBytes < SYNC_EVERY_BYTES || syncing !== null) return;
    unsyncedBytes = 0;
    // What goes wrong with it is told by the last time, which counts.
    syncing = file
      .datasync()
      .catch(() => {})
      .finally(() => {
        syncing = null;
      });
  }

  return {
    file,
    async write(pieces) {
      const bytes = lengthOf(pieces);
      await claim.grow(bytes);
      await writePieces(file.fd, pieces, sizeBytes);
      grow(bytes);
    },
    async observe() {
      const bytes = statusOf(file.fd).size - sizeBytes;
      if (bytes <= 0) return;
      await claim.grow(bytes);
      grow(bytes);
    },
    settle: async () => void (await syncing),
  };
}
