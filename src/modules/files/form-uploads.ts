import { pipeline, type Readable } from 'node:stream';
import type { FilePlane } from '../../gateway/files.js';
import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { RecordFileChange } from './audit.js';
import { limitBody } from './limited-body.js';
import { normalisePath, pathIn, ROOT } from './paths.js';
import type { FileTarget, FileTargets } from './targets.js';
import { waitingPath } from './waiting.js';
import type { Hold, Watch } from './watch.js';

export interface FormUploads {
  /** @param directory Null: not known yet. */
  beginFormUpload(actor: Actor, serverId: string, directory: string | null): Promise<FormUpload>;
}

/** Files on their way into one directory, one after the other. Each is there as a whole or not at all. */
export interface FormUpload {
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

export interface FormUploadsOptions {
  targets: FileTargets;
  plane: FilePlane;
  watch: Watch;
  record: RecordFileChange;
  /** Of one file. */
  uploadMaxBytes: number;
}

export function createFormUploads(options: FormUploadsOptions): FormUploads {
  const { targets, watch } = options;
  return {
    async beginFormUpload(actor, serverId, directory) {
      const authorise = () => targets.toChange(actor, serverId, 'file.write');
      const target = await authorise();
      const hold = watch.hold({ actor, server: target.server, rights: ['file.write'] });
      const upload = openUpload({ ...options, actor, target, authorise, hold });
      if (directory === null) return upload;
      try {
        await upload.enter(directory);
        return upload;
      } catch (error) {
        hold.release();
        throw error;
      }
    },
  };
}

interface UploadContext extends Pick<FormUploadsOptions, 'plane' | 'record' | 'uploadMaxBytes'> {
  actor: Actor;
  target: FileTarget;
  /** Asks again whether the actor may write: rights may have gone while the bytes came. */
  authorise: () => Promise<unknown>;
  hold: Hold;
}

interface WaitingFile {
  name: string;
  path: string;
  sizeBytes: number;
}

function openUpload(context: UploadContext): FormUpload {
  const { actor, target, authorise, hold, record } = context;
  const { server, operate } = target;
  const waiting: WaitingFile[] = [];
  let directory: string | null = null;
  let count = 0;

  /** The first that waits. */
  async function place({ name, path: from, sizeBytes }: WaitingFile, into: string): Promise<void> {
    const path = pathIn(into, name);
    await operate('rename', { from, to: path, replace: true });
    waiting.shift();
    await record(actor, server, 'file.upload', { path, sizeBytes });
  }

  return {
    lost: hold.signal,
    async add(name, body) {
      count += 1;
      // Also where it only waits: a bad name is known before its bytes come.
      const inPlace = pathIn(directory ?? ROOT, name);
      const isToWait = directory === null;
      const path = isToWait ? waitingPath() : inPlace;
      const sizeBytes = await store(context, path, body);
      if (isToWait) waiting.push({ name, path, sizeBytes });
      else await record(actor, server, 'file.upload', { path, sizeBytes });
    },
    async enter(path) {
      const wanted = normalisePath(path);
      if (directory !== null && directory !== wanted) {
        throw new AppError('request.invalid', 'path: is there more than once, with different values');
      }
      directory = wanted;
      if (wanted !== ROOT) await operate('make-directory', { path: wanted, parents: true });
      if (waiting.length > 0) await authorise();
      for (let first = waiting[0]; first; first = waiting[0]) await place(first, wanted);
    },
    async finish() {
      hold.release();
      if (count === 0) throw new AppError('request.invalid', 'file: is missing');
      if (directory === null) throw new AppError('request.invalid', 'path: is missing');
    },
    async abandon() {
      hold.release();
      // On a node that went away they are forgotten, which it notices itself.
      await Promise.allSettled(waiting.map(({ path }) => operate('remove', { path, recursive: false })));
    },
  };
}

/** @returns How many bytes there were. */
async function store(context: UploadContext, path: string, body: Readable): Promise<number> {
  const { plane, target, uploadMaxBytes, authorise, hold } = context;
  const { nodeId, uuid } = target.server;
  const checked = limitBody({ what: 'file', maxBytes: uploadMaxBytes, mayEnd: authorise });
  const broken = new AbortController();
  // Whatever happens to either happens to the other, and to an upload that still waits for its turn. What the node
  // refuses is destroyed without an error: why, it is still saying.
  pipeline(body, checked, () => checked.errored && broken.abort(checked.errored));
  const signal = AbortSignal.any([broken.signal, hold.signal]);
  const entry = await plane.upload(nodeId, uuid, { path, replace: true }, checked, { signal });
  return entry.sizeBytes;
}
