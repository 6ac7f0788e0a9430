import { pipeline, type Readable } from 'node:stream';
import type { FilePlane } from '../../gateway/files.js';
import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { RecordFileChange } from './audit.js';
import { limitBody } from './limited-body.js';
import { normalisePath, pathIn, ROOT } from './paths.js';
import { type FileTargets, throwAsUsersSeeIt } from './targets.js';
import { removeForgotten, waitingPath } from './waiting.js';
import type { Watch } from './watch.js';

export interface Uploads {
  /** @param directory Null: not known yet. */
  beginUpload(actor: Actor, serverId: string, directory: string | null): Promise<Upload>;
}

/** Files on their way into one directory, one after the other. Each is there as a whole or not at all. */
export interface Upload {
  /** Aborted, with an AppError, when the actor may not go on; whatever is on its way ends by itself. */
  readonly lost: AbortSignal;
  /**
   * Takes the next file, in place of one that has its name. While the directory is not known it waits on the node
   * under another name: many clients name the directory last, and nothing is kept in memory for them.
   */
  add(name: string, body: Readable): Promise<void>;
  enter(directory: string): Promise<void>;
  /** Throws unless there was a directory and a file. */
  finish(): Promise<void>;
  /** Removes what waits; files that are in their place stay. */
  abandon(): Promise<void>;
}

export interface UploadsOptions {
  targets: FileTargets;
  plane: FilePlane;
  watch: Watch;
  record: RecordFileChange;
  /** Of one file. */
  uploadMaxBytes: number;
}

interface WaitingFile {
  name: string;
  path: string;
  sizeBytes: number;
}

export function createUploads(options: UploadsOptions): Uploads {
  const { targets, plane, watch, record, uploadMaxBytes } = options;
  return {
    async beginUpload(actor, serverId, given) {
      const authorise = () => targets.toChange(actor, serverId, 'file.write');
      const { server, operate } = await authorise();
      const hold = watch.hold({ actor, server, rights: ['file.write'] });
      const waiting: WaitingFile[] = [];
      let directory: string | null = null;
      let count = 0;

      async function store(path: string, body: Readable): Promise<number> {
        // Rights may have gone while the bytes came.
        const checked = limitBody({ what: 'file', maxBytes: uploadMaxBytes, mayEnd: authorise });
        const broken = new AbortController();
        // Whatever happens to either happens to the other, and to an upload that still waits for its turn. What the node
        // refuses is destroyed without an error: why, it is still saying.
        pipeline(body, checked, () => checked.errored && broken.abort(checked.errored));
        const signal = AbortSignal.any([broken.signal, hold.signal]);
        const entry = await plane
          .upload(server.nodeId, server.uuid, { path, replace: true }, checked, { signal })
          .catch(throwAsUsersSeeIt);
        return entry.sizeBytes;
      }

      async function place(file: WaitingFile, into: string): Promise<void> {
        const path = pathIn(into, file.name);
        await operate('rename', { from: file.path, to: path, replace: true });
        waiting.splice(waiting.indexOf(file), 1);
        await record(actor, server, 'file.upload', { path, sizeBytes: file.sizeBytes });
      }

      async function enter(path: string): Promise<void> {
        const wanted = normalisePath(path);
        if (directory !== null && directory !== wanted) {
          throw new AppError('request.invalid', 'path: is there more than once, with different values');
        }
        directory = wanted;
        if (wanted !== ROOT) await operate('make-directory', { path: wanted, parents: true });
        if (waiting.length > 0) await authorise();
        for (const file of [...waiting]) await place(file, wanted);
      }

      if (given !== null) {
        await enter(given).catch((error: unknown) => {
          hold.release();
          throw error;
        });
      }
      return {
        lost: hold.signal,
        enter,
        async add(name, body) {
          count += 1;
          // Also where it only waits: a bad name is known before its bytes come.
          const path = pathIn(directory ?? ROOT, name);
          if (directory !== null) {
            const sizeBytes = await store(path, body);
            await record(actor, server, 'file.upload', { path, sizeBytes });
          } else {
            if (waiting.length === 0) await removeForgotten(operate);
            const path = waitingPath();
            waiting.push({ name, path, sizeBytes: await store(path, body) });
          }
        },
        async finish() {
          hold.release();
          if (count === 0) throw new AppError('request.invalid', 'file: is missing');
          if (directory === null) throw new AppError('request.invalid', 'path: is missing');
        },
        async abandon() {
          hold.release();
          // From a node that went away they are removed later, with what else was forgotten.
          await Promise.allSettled(waiting.map(({ path }) => operate('remove', { path, recursive: false })));
        },
      };
    },
  };
}
