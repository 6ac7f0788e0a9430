import { pipeline, type Readable, Transform } from 'node:stream';
import type { FilePlane } from '../../gateway/files.js';
import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { FileEntry } from '../../protocol/data-plane.js';
import { normalisePath } from './paths.js';
import type { FileTargets } from './targets.js';
import type { Hold, Watch } from './watch.js';

export interface ByteRange {
  offset: number;
  length: number;
}

export interface DownloadOptions {
  path: string;
  choose: (entry: FileEntry) => ByteRange | null;
  /** Aborted when nobody waits for the bytes any more. */
  signal: AbortSignal;
}

export interface Downloads {
  /**
   * The file that a path leads to, and the part of it that `choose` wants once it knows the file; null where it wants
   * none. The bytes are of the file as it was told to `choose`, and they end with an error unless all of them came, also
   * when the actor loses his right meanwhile.
   */
  download(actor: Actor, serverId: string, request: DownloadOptions): Promise<Readable | null>;
}

/** A file that changes between two looks is looked at again so often. */
const ATTEMPTS_MAX = 5;

export function createDownloads(options: {
  targets: FileTargets;
  plane: FilePlane;
  watch: Watch;
}): Downloads {
  const { targets, plane, watch } = options;
  return {
    async download(actor, serverId, { path: given, choose, signal }) {
      const { server, operate } = await targets.toRead(actor, serverId);
      const path = normalisePath(given);
      for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
        const entry = await operate('stat', { path, followLinks: true });
        if (entry.kind === 'directory') throw new AppError('file.is_directory');
        if (entry.kind !== 'file') throw new AppError('file.not_regular');
        const part = choose(entry);
        if (part === null || part.length === 0) return null;
        const { entry: opened, body } = await plane.download(
          server.nodeId,
          server.uuid,
          { path, ...part },
          { signal },
        );
        if (opened.sizeBytes === entry.sizeBytes && opened.modifiedAtMs === entry.modifiedAtMs) {
          return allOf(body, part.length, watch.hold({ actor, server, rights: ['file.read'] }));
        }
        body.destroy();
      }
      throw new AppError('file.busy', 'The file keeps changing. Try again in a moment.');
    },
  };
}

/** An answer that announced so many bytes must not look complete with fewer. */
function allOf(body: Readable, length: number, hold: Hold): Readable {
  let bytes = 0;
  const checked = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      done(null, chunk);
    },
    flush(done) {
      done(bytes === length ? null : new AppError('file.busy', 'The file changed while it was read.'));
    },
  });
  hold.signal.addEventListener('abort', () => checked.destroy(toError(hold.signal.reason)));
  // Not at its end, which comes before a slow client has taken the last of it.
  checked.once('close', hold.release);
  // Whatever happens to either happens to the other; whoever reads is told.
  return pipeline(body, checked, () => {});
}

function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('The download was ended.', { cause: reason });
}
